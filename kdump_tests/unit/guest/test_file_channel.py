"""Files come through the port whole, or it is told why not."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import DeadlineExpired, GuestLost, LabError
from kdump_tests.guest.file_channel import PORT, FileChannel
from kdump_tests.guest.shell import Copy, Shell
from kdump_tests.unit.guest.ssh_server import hang, sshd

# What the guest writes into the port, and the status its cat ends with; None: it never ends.
Sending = Callable[[Callable[[bytes], object]], int | None]


def soon() -> Deadline:
    return Deadline.after(10, "the file is copied")


class Machine:
    """A guest that has the port: its cat writes what a test says."""

    def __init__(self, folder: Path) -> None:
        self.goal = folder / "copy"
        self.sending: Sending = lambda _write: 0
        self.commands: list[str] = []
        self.channel = FileChannel(folder / "files.sock")
        self.port = socket.socket(socket.AF_UNIX)
        self.port.connect(str(folder / "files.sock"))

    def send(self, command: str, channel: paramiko.Channel) -> None:
        self.commands.append(command)
        status = self.sending(self.port.sendall)
        if status is None:
            return
        channel.send_exit_status(status)
        channel.close()

    def close(self) -> None:
        self.channel.close()
        self.port.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


@pytest.fixture
def shell(machine: Machine, tmp_path: Path) -> Iterator[Shell]:
    with sshd(machine.send) as server:
        shell = Shell(server.login, tmp_path / "commands.log")
        shell.connect(soon(), lambda: None)
        yield shell
        shell.close()


def writes(content: bytes, status: int | None = 0) -> Sending:
    def sending(write: Callable[[bytes], object]) -> int | None:
        write(content)
        return status

    return sending


def test_file_comes_whole_and_for_us_alone(machine: Machine, shell: Shell) -> None:
    content = bytes(range(256)) * 20_000
    machine.sending = writes(content)
    machine.channel.fetch(shell, [Copy("/var/crash/it's/dump", machine.goal, len(content))], soon())
    assert machine.goal.read_bytes() == content
    assert machine.goal.stat().st_mode & 0o777 == 0o600
    assert machine.commands[0].endswith(f"{PORT} '/var/crash/it'\"'\"'s/dump'")
    assert 'test -c "$0" &&' in machine.commands[0]


def test_empty_file_comes_whole(machine: Machine, shell: Shell) -> None:
    machine.channel.fetch(shell, [Copy("/empty", machine.goal, 0)], soon())
    assert machine.goal.read_bytes() == b""


def test_files_come_one_after_the_other(machine: Machine, shell: Shell, tmp_path: Path) -> None:
    machine.sending = writes(b"one")
    machine.channel.fetch(shell, [Copy("/one", machine.goal, 3)], soon())
    machine.sending = writes(b"other")
    machine.channel.fetch(shell, [Copy("/other", tmp_path / "other", 5)], soon())
    assert (tmp_path / "other").read_bytes() == b"other"


def test_several_files_come_by_one_command(machine: Machine, shell: Shell, tmp_path: Path) -> None:
    machine.sending = writes(b"dmesgvmcore")
    copies = [
        Copy("/dmesg", machine.goal, 5),
        Copy("/empty", tmp_path / "b", 0),
        Copy("/vmcore", tmp_path / "c", 6),
    ]
    machine.channel.fetch(shell, copies, soon())
    assert [copy.goal.read_bytes() for copy in copies] == [b"dmesg", b"", b"vmcore"]
    assert len(machine.commands) == 1


def test_what_an_earlier_sender_left_is_not_the_next_file(machine: Machine, shell: Shell) -> None:
    machine.port.sendall(b"left over")
    machine.sending = writes(b"vmcore")
    machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 6)], soon())
    assert machine.goal.read_bytes() == b"vmcore"


def test_sender_that_fails_is_told_with_what_came(machine: Machine, shell: Shell) -> None:
    machine.sending = writes(b"half", status=1)
    with pytest.raises(LabError, match="was not copied whole") as failure:
        machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 8)], soon())
    assert failure.value.facts == {"expected": "8 bytes", "got": "4 bytes", "status": "1"}


def test_file_that_is_shorter_than_told_ends_by_the_deadline(machine: Machine, shell: Shell) -> None:
    machine.sending = writes(b"half")
    with pytest.raises(DeadlineExpired):
        machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 8)], Deadline.after(0.3, "it is copied"))


def test_first_file_that_is_shorter_than_told_ends_by_the_deadline(
    machine: Machine, shell: Shell, tmp_path: Path
) -> None:
    machine.sending = writes(b"dmvmcore")
    copies = [Copy("/dmesg", machine.goal, 5), Copy("/vmcore", tmp_path / "vmcore", 6)]
    with pytest.raises(DeadlineExpired):
        machine.channel.fetch(shell, copies, Deadline.after(0.3, "they are copied"))


def test_sender_that_hangs_ends_by_the_deadline(machine: Machine, shell: Shell) -> None:
    machine.sending = writes(b"vmcore", status=None)
    with pytest.raises(DeadlineExpired):
        machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 6)], Deadline.after(0.3, "it is copied"))


def test_machine_that_ends_amid_the_file_is_lost(machine: Machine, shell: Shell) -> None:
    def dies(write: Callable[[bytes], object]) -> None:
        write(b"half")
        machine.port.shutdown(socket.SHUT_RDWR)

    machine.sending = dies
    with pytest.raises(GuestLost, match="ended while it sent a file"):
        machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 8)], soon())


def test_machine_that_never_connected_is_lost(tmp_path: Path) -> None:
    channel = FileChannel(tmp_path / "files.sock")
    with sshd(hang) as server, pytest.raises(GuestLost, match="did not connect"):
        channel.fetch(Shell(server.login, tmp_path / "log"), [Copy("/vmcore", tmp_path / "copy", 1)], soon())
    channel.close()


def test_file_is_never_written_over_another(machine: Machine, shell: Shell) -> None:
    machine.goal.write_text("precious")
    with pytest.raises(FileExistsError):
        machine.channel.fetch(shell, [Copy("/vmcore", machine.goal, 1)], soon())
    assert machine.goal.read_text() == "precious"


def test_closing_before_anybody_connected_does_not_hang(tmp_path: Path) -> None:
    closing = threading.Thread(target=FileChannel(tmp_path / "files.sock").close)
    closing.start()
    closing.join(timeout=5)
    assert not closing.is_alive()


@pytest.mark.parametrize("fetched_before", [False, True])
def test_a_machine_that_is_started_again_is_heard_at_the_same_port(
    machine: Machine, shell: Shell, tmp_path: Path, fetched_before: bool
) -> None:
    def sends(content: bytes) -> Sending:
        return lambda write: 0 if write(content) is None else 1

    machine.sending = sends(b"old")
    if fetched_before:
        machine.channel.fetch(shell, [Copy("/old", tmp_path / "old", 3)], soon())
    machine.port.close()
    machine.channel.await_another()
    machine.port = socket.socket(socket.AF_UNIX)
    machine.port.connect(str(tmp_path / "files.sock"))
    machine.sending = sends(b"new")
    machine.channel.fetch(shell, [Copy("/new", machine.goal, 3)], soon())
    assert machine.goal.read_bytes() == b"new"
