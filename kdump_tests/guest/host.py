"""A machine that exists already, entered over SSH: how it is known, and what it must not be doing.

It is somebody's. Nothing is done to it before its host key is one that this user knows, and nothing that
stops it before its own hostname was spelled out.
"""

import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import paramiko
import pexpect

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.console import Console
from kdump_tests.guest.keys import KeyFile, KnownKey
from kdump_tests.guest.shell import Login, Shell
from kdump_tests.steps import step

_ADDRESS = re.compile(r"(?:(?P<user>[A-Za-z0-9_.-]+)@)?(?P<name>[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")
_SSH_PORT = 22
# As ssh_config(5) prefers them.
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ssh-rsa")
_PIECE = 4096
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Address:
    """``user@name:port``; root and 22 where they are left out."""

    user: str
    name: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address out of its text.

        Raises:
            BadInput: it is none.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"] or _SSH_PORT) < 1 << 16:
            raise BadInput(
                f"--host {text} is not of the form user@name:port", way_out="root@db7, qa@192.0.2.7:2222"
            )
        return cls(found["user"] or "root", found["name"], int(found["port"] or _SSH_PORT))

    def login(self, identity: Path | None, known_hosts: Path | None = None) -> Login:
        """How it is entered: by the key of that file, else as `ssh` would; only if its host key is known.

        Raises:
            BadInput: it is not known, or there is no such key.
        """
        known = known_hosts or Path("~/.ssh/known_hosts").expanduser()
        name = self.name if self.port == _SSH_PORT else f"[{self.name}]:{self.port}"
        try:
            keys = dict(paramiko.HostKeys(str(known)).lookup(name) or {})
        except OSError:
            keys = {}
        kind = next((kind for kind in _KEY_TYPES if kind in keys), None)
        if kind is None:
            raise BadInput(
                f"the host key of {name} is not known",
                reason=f"{known} has none, and one that is only learned now could be anybody's",
                way_out=f"enter it once by hand: ssh -p {self.port} {self.user}@{self.name}",
            )
        key = None if identity is None else KeyFile(identity)
        if key:
            key.load()
        return Login(self.name, self.port, key, KnownKey(keys[kind]), self.user)


@dataclass(frozen=True)
class Consent:
    """What the user says of the host: by which name it may be crashed, and what must not run there."""

    hostname: str | None
    spared: tuple[str, ...]  # services
    may_be_busy: bool

    def check(self, shell: Shell, until: Deadline) -> None:
        """Refuse a host that is another one than was spelled out, or that somebody needs now.

        Raises:
            BadInput: says who or what is there.
        """
        own = shell.run("cat", "/proc/sys/kernel/hostname", until=until).strip()
        if self.hostname is not None and self.hostname != own:
            raise BadInput(
                f"--allow-crash {self.hostname} is not this host",
                its_hostname=ascii(own)[1:-1][:80],
                reason="a machine is only crashed under its own name, spelled out in full",
            )
        if self.hostname is None or self.may_be_busy:
            return
        if users := _users(shell, until):
            raise BadInput(
                f"users are logged in on {own}",
                users=", ".join(users),
                way_out="ask them to leave, or say that it may be: --allow-busy",
            )
        if running := [name for name in self.spared if _runs(shell, name, until)]:
            raise BadInput(
                f"{', '.join(running)} of --spare runs on {own}",
                way_out="stop it there, or say that it may be: --allow-busy",
            )


def _users(shell: Shell, until: Deadline) -> tuple[str, ...]:
    """Whoever has a terminal (utmp); this connection has none."""
    lines = shell.run("who", until=until).splitlines()
    return tuple(sorted({ascii(line.split()[0])[1:-1][:32] for line in lines if line.strip()}))


def _runs(shell: Shell, service: str, until: Deadline) -> bool:
    """Whether it is about anything: a backup is `activating` for as long as it runs.

    Raises:
        BadInput: there is no such service, so nobody would be spared.
    """
    asked = ("systemctl", "show", "--property=LoadState,ActiveState", "--", service)
    told = dict(line.split("=", 1) for line in shell.run(*asked, until=until).splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        raise BadInput(
            f"there is no service {service} to --spare on this host",
            systemd_says=ascii(told.get("LoadState", "nothing"))[1:-1][:40],
            way_out="its name as systemctl knows it",
        )
    return told.get("ActiveState") not in {"inactive", "failed"}


@contextmanager
def console_by(command: str | None, record: Path) -> Iterator[Console]:
    """The console that a command shows, as `ipmitool … sol activate` does; silent without one.

    Raises:
        BadInput: there is no such program.
    """
    record.touch(mode=0o600)
    if command is None:
        console = Console(record)
        try:
            yield console
        finally:
            console.close()
        return
    words = _words(command)
    try:
        child = pexpect.spawn(words[0], words[1:], timeout=None, echo=False)
    except pexpect.ExceptionPexpect as error:
        raise BadInput(f"--console {command} cannot be started", reason=error) from None
    console = Console(record)
    thread = threading.Thread(target=_copy, args=(child, record, console), daemon=True)
    thread.start()
    try:
        yield console
    finally:
        child.close(force=True)
        thread.join(timeout=5)
        console.close()


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"--console {command} is not a command", reason=error) from None
    if not words:
        raise BadInput("--console names no command")
    return words


def _copy(child: "pexpect.spawn[bytes]", record: Path, console: Console) -> None:
    """What it shows, into the record, until it ends; no line comes then any more."""
    with record.open("ab", buffering=0) as file:
        while True:
            try:
                file.write(child.read_nonblocking(_PIECE, timeout=_PAUSE_SECONDS))
            except pexpect.TIMEOUT:
                continue
            except (pexpect.EOF, OSError, ValueError):
                break
    console.machine_ended()


@contextmanager
def kept(
    shell: Shell, host: str, files: Sequence[str], run_id: str, until: Deadline, back: Callable[[], Deadline]
) -> Iterator[None]:
    """Save a host's files beside them first, and put them back afterwards.

    The archive stays on the host for as long as they are not back. ``back`` gives the host time to return.

    Raises:
        LabError: they could not be saved, so nothing was begun, or not be put back; says where they lie.
    """
    archive = f"/var/tmp/kdump-verify-{run_id}.tar"  # noqa: S108 - of the host; made for its owner alone
    shell.run("sh", "-c", _SAVE, "save", archive, *files, until=until)
    try:
        yield
    finally:
        end = back()
        by_hand = f"tar -C / --touch -xf {archive}"
        try:
            # Said beforehand: who has no patience for it can do it himself.
            with step(host, f"putting its configuration back (by hand, on it, as root: {by_hand})"):
                shell.connect(end, lambda: None)
                shell.run("sh", "-c", _RESTORE, "restore", archive, *files, until=end)
        except LabError as error:
            raise LabError(
                "the host's configuration could not be put back",
                reason=error.message,
                it_lies_in=archive,
                way_out=f"on the host, as root: {by_hand}",
            ) from error


_SAVE = """
set -e
umask 077
archive=$1
shift
test ! -e "$archive"
for file; do
    if [ -e "$file" ]; then echo "${file#/}"; fi
done | tar -C / --create --file="$archive" --files-from=-
"""
# Over what is there: on a disk that a dump has filled, a new file could not be made in its place. Touched,
# as an initramfs is built anew for a configuration that is newer, not for one that is another
# (check_files_modified() of kdumpctl, mkdumprd of SUSE's kdump).
_RESTORE = """
set -e
archive=$1
shift
tar -C / --extract --overwrite --touch --file="$archive"
for file; do
    if ! tar --list --file="$archive" | grep -qxF -e "${file#/}"; then rm -f -- "$file"; fi
done
sync
rm -- "$archive"
"""
