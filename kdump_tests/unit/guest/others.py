"""Other processes, as a test needs them: they build, they hold a lock, they get killed."""

import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from kdump_tests.deadline import Deadline, wait_until


@contextmanager
def python(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``script``; it is gone at the end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that the process says."""
    assert process.stdout
    return process.stdout.readline().strip()


def await_file(path: Path) -> None:
    """Until there is that file."""
    wait_until(path.stat, Deadline.after(20, f"{path} is there"), retry_on=FileNotFoundError, pause=0.01)


def endless() -> str:
    """A time to sleep that is a name as well: no process of another test, or of another pytest, has it."""
    return str(secrets.randbelow(1 << 40) + (1 << 40))


def running_with(word: str) -> Sequence[psutil.Process]:
    """The processes with that word on their command line."""
    return [process for process in psutil.process_iter() if word in _command(process)]


def await_end_of(word: str) -> None:
    """Until no process has that word on its command line."""

    def attempt() -> None:
        assert not running_with(word)

    wait_until(attempt, Deadline.after(10, f"{word} has ended"), retry_on=AssertionError, pause=0.02)


def kill_all_with(word: str) -> int:
    """Kill them, and say how many they were."""
    found = running_with(word)
    for process in found:
        process.kill()
    return len(found)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
