"""A guest: booted from a spec, looked at through its console and its shell, gone at the end."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import DeadlineExpired, GuestLost, GuestNotReached, HypervisorError
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.cache import require_space
from kdump_tests.guest.console import Console, Line
from kdump_tests.guest.domain import Wiring, domain_xml
from kdump_tests.guest.file_channel import PORT, FileChannel
from kdump_tests.guest.hypervisor import Hypervisor
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.run import Run
from kdump_tests.guest.shell import Login, Shell
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB
from kdump_tests.steps import step
from kdump_tests.subprocesses import run as run_program

# Seconds of the reference machine (see accelerator.py); a boot to SSH takes 40 there.
_START_SECONDS = 60.0
_FIRST_LINE_SECONDS = 30.0
_BOOT_SECONDS = 240.0
_SSH_SECONDS = 60.0
_COMMAND_SECONDS = 60.0

BOOT_ID = "/proc/sys/kernel/random/boot_id"

# SSH is about to answer: sshd says so, or a login prompt stands there.
SSH_NEAR = re.compile(r"Started ssh|Started .*OpenSSH|login: ?$")
# Lines after which a booting machine will not get there.
_BOOT_FAILED = re.compile(
    r"Kernel panic - not syncing|You are in emergency mode|Give root password for maintenance|\(initramfs\)"
    r"|BdsDxe: No bootable option|No bootable device|Failed to start .*(ssh|OpenSSH)"
)
# An overlay that takes a boot, a full dump of a small guest, and logs.
_NEEDED_SPACE = 1 * GIB


@dataclass
class Guest:
    """A machine that is running, made by ``Lab.guest``. It has a console, a shell, a channel for files."""

    name: str
    spec: GuestSpec
    image: BuiltImage
    accelerator: Accelerator
    console: Console
    shell: Shell
    files: FileChannel
    folder: Path  # in the report: console.log, domain.xml, commands.log
    boot_seconds: float = 0.0
    _has_port: bool | None = None

    def deadline(self, seconds: float, what: str) -> Deadline:
        """A deadline of so many seconds of the reference machine."""
        return self.accelerator.deadline(seconds, f"{self.name}: {what}")

    def command_deadline(self) -> Deadline:
        """The deadline of an ordinary command."""
        return self.deadline(_COMMAND_SECONDS, "a command ends")

    def reach(self, console_start: int) -> None:
        """Wait until SSH answers after a boot whose lines begin at ``console_start``.

        Raises:
            GuestNotReached: the boot failed, stalled, or SSH does not answer; says at which line.
            GuestLost: the machine ended.
        """
        begun = time.monotonic()
        self._await_line(re.compile(""), console_start, self.deadline(_FIRST_LINE_SECONDS, "the first line"))
        both = re.compile(f"{SSH_NEAR.pattern}|{_BOOT_FAILED.pattern}")
        line = self._await_line(both, console_start, self.deadline(_BOOT_SECONDS, "the boot ends"))
        if _BOOT_FAILED.search(line.text):
            raise self._not_reached("the guest does not boot", line)
        until = self.deadline(_SSH_SECONDS, "SSH answers after the boot")
        try:
            self.shell.connect(until, self.require_alive)
        except GuestNotReached as error:
            raise GuestNotReached(error.message, **{**error.facts, **self.whereabouts()}) from None
        self.boot_seconds = time.monotonic() - begun

    def boot_id(self) -> str:
        """The id that the kernel draws at each boot; the one proof of a reboot."""
        return self.read(BOOT_ID).strip()

    def read(self, *paths: str) -> str:
        """The text of files of the guest, one after the other."""
        return self.shell.run("cat", "--", *paths, until=self.command_deadline())

    def fetch(self, path: str, goal: Path, size: int, until: Deadline) -> None:
        """Copy a file of ``size`` bytes out of the guest, the fast way if it has the port for it.

        Raises:
            LabError: it did not come whole.
        """
        if self.has_file_port():
            self.files.fetch(self.shell, path, goal, size, until)
        else:
            self.shell.fetch(path, goal, size, until)

    def has_file_port(self) -> bool:
        """Whether the guest's system made a device of the file channel."""
        if self._has_port is None:
            self._has_port = (
                self.shell.attempt("test", "-c", PORT, until=self.command_deadline()).status == 0
            )
        return self._has_port

    def require_alive(self) -> None:
        """Raise GuestLost when the machine is gone."""
        if self.console.closed:
            raise GuestLost(f"{self.name} is gone: QEMU ended", **self.whereabouts())

    def whereabouts(self) -> dict[str, str]:
        """What every error about this guest carries: its last words and where they all are."""
        return {"last_lines": self.console.tail(8), "console": str(self.console.record)}

    def _await_line(self, pattern: re.Pattern[str], start: int, until: Deadline) -> Line:
        try:
            line = self.console.expect(pattern, start, until)
        except DeadlineExpired as error:
            raise GuestNotReached(error.message, **self.whereabouts()) from None
        if line is None:
            raise GuestLost(f"{self.name} ended while it booted", **self.whereabouts())
        return line

    def _not_reached(self, message: str, line: Line) -> GuestNotReached:
        return GuestNotReached(
            f"{self.name}: {message}",
            decisive_line=line.text.strip(),
            last_lines=self.console.tail(8),
            console=f"{self.console.record}:{line.number}",
        )


@dataclass
class Lab:
    """Where guests are made: one run, one hypervisor, one accelerator."""

    run: Run
    hypervisor: Hypervisor
    accelerator: Accelerator
    _count: int = 0

    @contextmanager
    def guest(self, spec: GuestSpec, image: BuiltImage, folder: Path) -> Iterator[Guest]:
        """A guest that answers by SSH. ``folder`` gets its console and all else that a report keeps."""
        self._count += 1
        number = self._count
        require_space(self.run.folder, _NEEDED_SPACE, f"the disk of {spec.name}")
        with ExitStack() as stack:
            with step(spec.name, "booting"):
                guest = stack.enter_context(self._started(spec, image, folder, number))
                guest.reach(0)
            yield guest

    @contextmanager
    def _started(self, spec: GuestSpec, image: BuiltImage, folder: Path, number: int) -> Iterator[Guest]:
        home = self.run.folder / f"g{number}"
        home.mkdir()
        name = f"kv-{self.run.id}-{number}-{spec.name}"
        wiring = self._wire(spec, image, home, folder)
        until = self.accelerator.deadline(_START_SECONDS, f"{spec.name} starts")
        xml = domain_xml(spec, name, image, self.accelerator, wiring)
        (folder / "domain.xml").write_text(xml)
        with ExitStack() as stack:
            console = Console(wiring.console)
            stack.callback(console.close)
            files = FileChannel(wiring.files)
            stack.callback(files.close)
            try:
                domain = self.hypervisor.start(xml, until, ended=console.machine_ended)
            except HypervisorError as error:
                raise HypervisorError(
                    f"{spec.name} cannot be started", reason=error.message, domain=folder / "domain.xml"
                ) from None
            stack.callback(lambda: domain.destroy(Deadline.after(60, f"{spec.name} is gone")))
            login = Login("127.0.0.1", domain.forwarded_port(until), self.run.guest_key, self.run.host_key)
            shell = Shell(login, folder / "commands.log")
            stack.callback(shell.close)
            yield Guest(spec.name, spec, image, self.accelerator, console, shell, files, folder)

    def _wire(self, spec: GuestSpec, image: BuiltImage, home: Path, folder: Path) -> Wiring:
        until = Deadline.after(60, f"the disks of {spec.name} are made")
        root = home / "root.qcow2"
        run_program(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image.disk, "-F", "raw", root], until)
        disks = tuple(home / f"{disk.serial}.qcow2" for disk in spec.disks)
        for disk, path in zip(spec.disks, disks, strict=True):
            run_program(["qemu-img", "create", "-q", "-f", "qcow2", path, str(disk.size)], until)
        authorized = home / "authorized_keys"
        authorized.write_text(self.run.guest_key.public + "\n")
        host_key = home / "host_key"
        host_key.touch(mode=0o600)
        host_key.write_text(self.run.host_key.private)
        return Wiring(
            run_id=self.run.id,
            root_disk=root,
            disks=disks,
            console=folder / "console.log",
            files=home / "files.sock",
            credentials=(("ssh.authorized_keys.root", authorized), ("guest.ssh-host-key", host_key)),
        )
