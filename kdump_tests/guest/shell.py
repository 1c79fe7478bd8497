"""A root shell on a machine under test, over SSH: deadlines on everything, nothing taken on trust."""

import contextlib
import errno
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import paramiko

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import GuestLost, GuestNotReached, HostKeyChanged, LabError, NoSpace
from kdump_tests.guest.keys import Key

# paramiko logs a traceback for every connection that a booting guest refuses.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

# What is read into memory; files go to disk in pieces.
_LARGEST_OUTPUT = 64 * 1024 * 1024
_PIECE = 1 << 18
# One attempt. A machine that accepts and then says nothing is still booting, or is not a machine.
_ATTEMPT_SECONDS = 20.0
_SSH_PORT = 22


@dataclass(frozen=True)
class Login:
    """How a machine is entered: by key, with its host key known beforehand.

    Commands run as root, by sudo where ``user`` is another. Without ``key``, by one of the user's own.
    """

    address: str
    port: int
    key: Key | None
    host_key: Key
    user: str = "root"

    def as_root(self, command: str) -> str:
        """A command line as this user must give it."""
        return command if self.user == "root" else f"sudo -n -- sh -c {shlex.quote(command)}"


@dataclass(frozen=True)
class Copy:
    """A file of the machine, of ``size`` bytes, and the new file here that shall hold the same."""

    path: str
    goal: Path
    size: int


@contextlib.contextmanager
def after(until: Deadline, end: Callable[[], object]) -> Iterator[None]:
    """``end`` is called once the deadline has passed, unless all is done by then."""
    timer = threading.Timer(until.left, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def make_room(copies: Sequence[Copy]) -> None:
    """New, empty files, each for its owner alone; never over another file."""
    for copy in copies:
        copy.goal.touch(mode=0o600, exist_ok=False)


def total(copies: Sequence[Copy]) -> int:
    """Bytes of all of them."""
    return sum(copy.size for copy in copies)


def store(copies: Sequence[Copy], receive: Callable[[int], bytes]) -> int:
    """Write a stream into its files, one after the other.

    ``receive`` is told how many bytes are missing in all and gives the next piece, empty at the end. What
    it gives beyond the last file is counted, not kept. The number of bytes that came.
    """
    got, rest = 0, b""
    for copy in copies:
        missing = copy.size
        with copy.goal.open("wb") as file:
            while missing > 0 and (rest or (rest := receive(total(copies) - got))):
                written = _written(file, rest[:missing])
                got, missing, rest = got + written, missing - written, rest[written:]
    return got + len(rest or receive(0))


def _written(file: BinaryIO, piece: bytes) -> int:
    try:
        return file.write(piece)
    except OSError as error:  # of this host; not to be taken for one of the connection that it came over
        kind = NoSpace if error.errno in {errno.ENOSPC, errno.EDQUOT} else LabError
        raise kind(f"a copy cannot be written: {error.strerror}", path=file.name) from None


def require_whole(copies: Sequence[Copy], got: int, status: int) -> None:
    """Nothing, when all bytes came and the sender ended well.

    Raises:
        LabError: says what was missing.
    """
    if status != 0 or got != total(copies):
        raise LabError(
            f"{', '.join(copy.path for copy in copies)} was not copied whole",
            expected=f"{total(copies)} bytes",
            got=f"{got} bytes",
            status=status,
        )


@dataclass(frozen=True)
class Output:
    """What a command left: its exit status and all that it printed."""

    command: str
    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Both outputs, for people."""
        return f"{self.stdout}{self.stderr}".strip()


class Shell:
    """Commands on the machine, each written to a log with its status and duration.

    ``login`` is how it is entered the next time; a connection that stands is not touched by a change.
    """

    def __init__(self, login: Login, log: Path) -> None:
        self.login = login
        self._log = log
        self._client: paramiko.SSHClient | None = None
        self._environment: tuple[str, ...] = ()

    @contextlib.contextmanager
    def environment(self, **variables: str) -> Iterator[None]:
        """Commands that run meanwhile have these in their environment too."""
        before = self._environment
        self._environment = ("env", *(f"{name}={value}" for name, value in variables.items()))
        try:
            yield
        finally:
            self._environment = before

    def connect(self, until: Deadline, still_there: Callable[[], object]) -> None:
        """Connect, trying until SSH answers. ``still_there`` is asked between attempts and may raise.

        Raises:
            GuestNotReached: SSH did not come up in time, or it is not the guest that answers.
        """
        self.close()

        def attempt() -> None:
            still_there()
            try:
                self._client = self._open(min(until.left, _ATTEMPT_SECONDS))
            except paramiko.BadHostKeyException as error:  # no reason to try again
                raise HostKeyChanged("somebody else answers at the guest's SSH port", reason=error) from None

        try:
            wait_until(attempt, until, retry_on=(OSError, EOFError, paramiko.SSHException))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise GuestNotReached(
                f"SSH does not come up at {self.login.address}:{self.login.port}",
                waited_for=until.what,
                reason=f"{type(error).__name__}: {error}",
            ) from None

    def another(self) -> "Shell":
        """One of the same machine with the same log, for a second connection; not connected yet."""
        return Shell(self.login, self._log)

    def close(self) -> None:
        """Close the connection from this side; a panicked machine never will."""
        if self._client:
            self._client.close()
            self._client = None

    def run(self, *argv: str, until: Deadline) -> str:
        """Standard output of a command that must succeed. Words are quoted here, not by the caller.

        Raises:
            LabError: it failed; carries the command and its words.
        """
        output = self.attempt(*argv, until=until)
        if output.status != 0:
            raise LabError(
                f"a command failed in the guest with status {output.status}",
                command=output.command,
                said=(output.stderr or output.stdout).strip()[-2000:],
            )
        return output.stdout

    def attempt(self, *argv: str, until: Deadline) -> Output:
        """A command that may fail.

        Raises:
            DeadlineExpired: it did not end in time.
            GuestLost: the connection ended before it did.
        """
        with self.running(*argv, until=until) as process:
            stdout = process.read(process.channel.recv, until)
            stderr = process.read(process.channel.recv_stderr, until)
            status = process.status(until)
        return Output(
            process.command, status, stdout.decode(errors="replace"), stderr.decode(errors="replace")
        )

    def fetch(self, copies: Sequence[Copy], until: Deadline) -> None:
        """Copy files from the machine, in pieces, into new files of mode 0600; one command for all.

        As a stream: SFTP acknowledges every 32 KiB and takes a third longer under TCG. SSH guards the
        content; the status and the sizes say that all of it came.

        Raises:
            LabError: they could not be read, or another amount came.
        """
        make_room(copies)
        paths = [copy.path for copy in copies]
        with self.running("cat", "--", *paths, until=until) as process:
            got = store(copies, lambda _: process.receive(process.channel.recv, until))
            # One that sends more than the files held would go on for ever.
            status = process.status(until) if got <= total(copies) else 0
        require_whole(copies, got, status)

    @contextlib.contextmanager
    def running(self, *argv: str, until: Deadline) -> Iterator["Process"]:
        """A command while it runs, for who wants to talk with it. Words are quoted here.

        Raises:
            DeadlineExpired: it did not end in time.
            GuestLost: there is no connection, or it ended.
        """
        with self._started(shlex.join((*self._environment, *argv)), until) as process:
            yield process

    def leave_running(self, script: str, until: Deadline) -> None:
        """Start a shell script that outlives this connection, and do not wait for it.

        In a session of its own with no file of ours open, so no channel hangs on a machine that dies
        (paramiko issue 189).
        """
        command = f"setsid sh -c {shlex.quote(script)} </dev/null >/dev/null 2>&1 &"
        with self._started(command, until) as process:
            process.status(until)

    def transport(self) -> paramiko.Transport:
        """The connection that stands.

        Raises:
            GuestLost: there is none.
        """
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise GuestLost("there is no connection to the guest")
        return transport

    @contextlib.contextmanager
    def _started(self, command: str, until: Deadline) -> Iterator["Process"]:
        transport = self.transport()
        begun = time.monotonic()
        outcome = "not ended"
        try:
            with transport.open_session(timeout=until.left) as channel:
                channel.settimeout(until.left)
                # paramiko waits for the answer to such a request without an end (5.1).
                with after(until, channel.close):
                    channel.exec_command(self.login.as_root(command))
                yield Process(command, channel)
                outcome = f"status {channel.exit_status}"
        except TimeoutError:
            raise until.error(command=command) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            if until.expired:
                raise until.error(command=command) from None
            raise GuestLost(
                "the connection to the guest broke", command=command, reason=repr(error)
            ) from None
        finally:
            with self._log.open("a") as log:
                log.write(f"$ {command}\n  ({outcome}, {time.monotonic() - begun:.2f} s)\n")

    def _open(self, seconds: float) -> paramiko.SSHClient:
        login = self.login
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        host_key = login.host_key.load()
        # paramiko looks keys of other ports than 22 up in this form.
        name = login.address if login.port == _SSH_PORT else f"[{login.address}]:{login.port}"
        client.get_host_keys().add(name, host_key.get_name(), host_key)
        try:
            client.connect(
                login.address,
                port=login.port,
                username=login.user,
                pkey=login.key.load() if login.key else None,
                allow_agent=login.key is None,
                look_for_keys=login.key is None,
                timeout=seconds,
                banner_timeout=seconds,
                auth_timeout=seconds,
                sock=socket.create_connection((login.address, login.port), timeout=seconds),
            )
        except BaseException:
            client.close()
            raise
        return client


@dataclass(frozen=True)
class Process:
    """A command that runs on the machine."""

    command: str
    channel: paramiko.Channel

    @property
    def failed(self) -> bool:
        """Whether it has ended, and not well."""
        return self.channel.exit_status_ready() and self.channel.exit_status != 0

    def receive(self, receive: Callable[[int], bytes], until: Deadline) -> bytes:
        """The next piece of one of its outputs, empty at the end."""
        # paramiko's own time limit begins anew with every piece; who trickles would never meet it.
        if until.expired:
            raise until.error(command=self.command)
        self.channel.settimeout(until.left)
        return receive(_PIECE)

    def read(self, receive: Callable[[int], bytes], until: Deadline) -> bytes:
        """All of one of its outputs.

        Raises:
            LabError: it prints without end.
        """
        got = bytearray()
        while piece := self.receive(receive, until):
            got += piece
            if len(got) > _LARGEST_OUTPUT:
                raise LabError("a command in the guest prints without end", command=self.command)
        return bytes(got)

    def status(self, until: Deadline) -> int:
        """Its exit status, once it has ended.

        Raises:
            DeadlineExpired: it did not end in time.
            GuestLost: the connection ended before it did.
        """
        # recv_exit_status() has no time limit (paramiko 5.1).
        if not self.channel.status_event.wait(until.left):
            raise until.error(command=self.command)
        if self.channel.exit_status == -1:
            raise GuestLost("the guest ended the connection before the command", command=self.command)
        return self.channel.exit_status
