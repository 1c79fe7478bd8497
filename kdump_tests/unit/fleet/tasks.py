"""Groups and tasks to test with: whatever is not said is small."""

import sys
from pathlib import Path

import psutil

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.fleet.group import Group, Need, Task

# A child that hears SIGINT even where the test itself runs in the background of a shell.
SAYING = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def say(text):
    os.write(int(os.environ["KDUMP_VERIFY_MESSAGES"]), text.encode())
"""


def need(memory: int = 1, cores: int = 1) -> Need:
    return Need(memory, cores, accelerator="tcg", architecture="x86_64", image="debian-12")


def group(name: str = "group", *, seconds: float = 1.0, memory: int = 1, cores: int = 1) -> Group:
    return Group(name, (f"test_{name}.py::test",), need(memory, cores), seconds)


def python(code: str, log: Path, *, of: Group | None = None, order: str = "") -> Task:
    return Task(of or group(), (sys.executable, "-c", SAYING + code), order, str(log))


def shell(script: str, log: Path, *, of: Group | None = None, order: str = "") -> Task:
    return Task(of or group(), ("sh", "-c", script), order, str(log))


def soon(what: str = "it happens") -> Deadline:
    return Deadline.after(20, what)


def wait_until_gone(pid: int) -> None:
    """An orphan's corpse may wait for a lazy init."""

    def gone() -> None:
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    wait_until(gone, soon(), retry_on=AssertionError)


def wait_for_text(path: Path) -> str:
    """What somebody writes there, once they did."""

    def text() -> str:
        found = path.read_text() if path.exists() else ""
        assert found
        return found

    return wait_until(text, soon(), retry_on=AssertionError)
