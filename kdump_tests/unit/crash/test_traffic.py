"""The network is busy while a machine crashes, both ways, and that ends with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
import pytest

from kdump_tests.crash.traffic import traffic
from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Shell
from kdump_tests.unit.guest.ssh_server import Handler, die, hang, sshd


class Echo:
    """Sends back what it gets, as cat does. After ``hangs_after`` bytes it is a machine that panicked."""

    def __init__(self, hangs_after: int = 1 << 40) -> None:
        self.hangs_after = hangs_after
        self.came = 0
        self.more = threading.Event()

    def __call__(self, command: str, channel: paramiko.Channel) -> None:
        assert command == "cat"
        with suppress(OSError, EOFError):
            while self.came < self.hangs_after and (piece := channel.recv(1 << 15)):
                channel.sendall(piece)
                self.came += len(piece)
                self.more.set()


@contextmanager
def busy(handler: Handler, folder: Path, seconds: float = 20.0) -> Iterator[None]:
    with sshd(handler) as server:
        shell = Shell(server.login, folder / "commands.log")
        with traffic(shell, Deadline.after(seconds, "its network is busy")):
            yield


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("traffic")]


def test_it_flows_both_ways_from_the_beginning_and_goes_on(tmp_path: Path) -> None:
    echo = Echo()
    with busy(echo, tmp_path):
        assert echo.came >= 4 << 20
        echo.more.clear()
        assert echo.more.wait(10)


@pytest.mark.parametrize("hangs_after", [1 << 40, 5 << 20], ids=["alive", "dead"])
def test_it_ends_with_the_crash_whatever_became_of_the_machine(tmp_path: Path, hangs_after: int) -> None:
    with busy(Echo(hangs_after), tmp_path):
        running = senders()
    for thread in running:
        thread.join(10)
    assert running
    assert not any(thread.is_alive() for thread in running)


@pytest.mark.parametrize("handler", [hang, die])
def test_a_network_that_is_not_busy_is_told(tmp_path: Path, handler: Handler) -> None:
    with pytest.raises(LabError, match="does not get busy"), busy(handler, tmp_path, 4.0):
        raise AssertionError("it must not begin")
