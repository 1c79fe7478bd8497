"""What a host does for a task: starts its process, hears what it says, leaves nothing of it.

Which processes run is known to the whole module, so that the handler of a signal can end them: it may
have interrupted anything, so whatever it calls here takes no lock.
"""

import array
import fcntl
import os
import select
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import LabError
from kdump_tests.fleet.group import Message, Outcome, Task
from kdump_tests.fleet.messages import CANCEL, LONGEST, MESSAGES
from kdump_tests.subprocesses import program

_CHUNK = 64 << 10
_TAIL_BYTES = 16 << 10
_TAIL_LINES = 20


@dataclass(eq=False)
class _Child:
    """A task's place in this process: from before its process starts until that is reaped."""

    process: subprocess.Popen[bytes] | None = None
    sent: dict[int, object] = field(default_factory=dict)

    def send(self, number: int) -> None:
        """Send a signal, once only: a second SIGINT would cut short the teardown that the first began."""
        ticket = object()
        if self.process is None or self.sent.setdefault(number, ticket) is not ticket:
            return
        # What dies of SIGKILL ends nothing of its own; else it knows best in what order.
        send = os.killpg if number == signal.SIGKILL else os.kill
        with suppress(ProcessLookupError, PermissionError):
            send(self.process.pid, number)


class _MessageTooLong(Exception):
    """No honest process says that much at once."""


_children: dict[tuple[str, str], _Child] = {}  # by run and key
_ended: dict[str, int] = {}  # runs that begin nothing any more, with the signal that ended them


def run_task(task: Task, tell: Callable[[Message], None], run: str) -> Outcome:
    """Run a task's process to its end, telling each line that it writes to its message pipe.

    Args:
        task: What to run. Its log is appended to.
        tell: Called in this thread.
        run: What `end_all` knows it by.

    Raises:
        ToolMissing: the host has no setpriv.
        OSError: the log cannot be written, or no process be started.
    """
    key, host = task.group.key, os.uname().nodename
    child = _children[run, key] = _Child()
    try:
        if run in _ended:
            return Outcome(key, host, -_ended[run], "not begun: the run had ended")
        with _process(task) as (process, pipe):
            child.process = process
            # It may have ended meanwhile, and not seen this process.
            if run in _ended:
                child.send(_ended[run])
            try:
                for line in _lines(pipe, process):
                    tell(Message(key, line))
            except _MessageTooLong as error:
                with _appended(task.log) as log:
                    log.write(f"{error}\n".encode())
        return Outcome(key, host, process.returncode, _tail(task.log))
    finally:
        del _children[run, key]


def end_all(number: int, run: str) -> None:
    """Send a signal to every process of a run, and let none begin any more."""
    _ended[run] = number
    for (of_run, _), child in _children.copy().items():
        if of_run == run:
            child.send(number)


def wait_for_all(run: str, until: Deadline) -> None:
    """Wait until no process of a run is left.

    Raises:
        LabError: some are.
    """

    def none_left() -> None:
        keys = ", ".join(key for of_run, key in _children.copy() if of_run == run)
        if keys:
            raise LabError(f"not in time: {until.what}", groups=keys)

    # Their own threads reap them. An event or a condition has a lock, which would be one too many.
    wait_until(none_left, until, retry_on=LabError, pause=0.01)


@contextmanager
def _process(task: Task) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """The task's process and the reading end of its message pipe; then nothing of its process group."""
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb", buffering=0) as pipe:
        try:
            process = _started(task, writes)
        finally:
            os.close(writes)
        try:
            yield process, pipe
        finally:
            # It is not reaped yet, so its number has not become somebody else's.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _started(task: Task, messages: int) -> subprocess.Popen[bytes]:
    with _appended(task.log) as log, os.fdopen(os.memfd_create("order"), "w+b") as order:
        order.write(task.order.encode())
        order.seek(0)
        return subprocess.Popen(
            # However we end, it ends with us.
            [program("setpriv"), "--pdeathsig", "KILL", "--", *task.argv],
            stdin=order,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(messages,),
            env={**os.environ, MESSAGES: str(messages)},
            start_new_session=True,
        )


def _lines(pipe: BinaryIO, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines that the process writes until it has ended. It is not reaped."""
    rest = b""
    for chunk in _chunks(pipe, process):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in (*lines, rest):
            if len(line) >= LONGEST:
                raise _MessageTooLong(f"ended: it wrote a message of {LONGEST} bytes or more")
        for line in lines:
            if not line.endswith(CANCEL.encode()):
                yield line.decode(errors="replace")


def _chunks(pipe: BinaryIO, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    has_ended = os.pidfd_open(process.pid)
    try:
        news = select.poll()
        news.register(pipe, select.POLLIN)
        news.register(has_ended, select.POLLIN)
        while has_ended not in (descriptor for descriptor, _ in news.poll()):
            if chunk := pipe.read(_CHUNK):
                yield chunk
            else:
                news.unregister(pipe)
        # What it had written is still in the pipe. Its end may never come: a process that it started
        # could hold the pipe open, or even write to it for ever.
        left = array.array("i", [0])
        fcntl.ioctl(pipe, termios.FIONREAD, left)
        while left[0] > 0 and (chunk := pipe.read(min(_CHUNK, left[0]))):
            left[0] -= len(chunk)
            yield chunk
    finally:
        os.close(has_ended)


def _appended(log: str) -> BinaryIO:
    return open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


def _tail(log: str) -> str:
    with Path(log).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        said = file.read(_TAIL_BYTES).decode(errors="replace")
    return "\n".join(said.strip().splitlines()[-_TAIL_LINES:])
