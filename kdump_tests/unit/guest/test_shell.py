"""A shell on a machine that answers well, badly or not at all: no wait without an end, nothing on trust."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import DeadlineExpired, GuestLost, GuestNotReached, LabError, NoSpace
from kdump_tests.guest import shell as shells
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.shell import Copy, Login, Shell, store
from kdump_tests.unit.guest.others import endless, kill_all_with
from kdump_tests.unit.guest.ssh_server import Handler, die, execute, flood, hang, ignore, sshd, trickle


def soon() -> Deadline:
    return Deadline.after(10, "the guest answers")


def at_once() -> Deadline:
    return Deadline.after(0.2, "the guest answers")


@contextmanager
def entered(handler: Handler, folder: Path) -> Iterator[Shell]:
    """A shell on a server that treats commands so."""
    with sshd(handler) as server:
        shell = Shell(server.login, folder / "commands.log")
        shell.connect(soon(), lambda: None)
        yield shell
        shell.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with entered(execute, tmp_path) as shell:
        yield shell


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def fails_to_enter(login: Login, folder: Path, until: Deadline) -> GuestNotReached:
    with pytest.raises(GuestNotReached) as failure:
        Shell(login, folder / "commands.log").connect(until, lambda: None)
    return failure.value


def test_command_runs_and_its_output_comes_back(shell: Shell) -> None:
    assert shell.run("printf", "%s", "hello", until=soon()) == "hello"


def test_words_arrive_as_they_are(shell: Shell) -> None:
    words = ["$HOME", "a b", "'", '"', ";", "", "*", "\\n", "caf\u00e9"]
    assert shell.run("printf", "%s|", *words, until=soon()) == "|".join([*words, ""])


def test_failed_command_is_told_with_its_words(shell: Shell) -> None:
    with pytest.raises(LabError, match="failed in the guest with status 3") as failure:
        shell.run("sh", "-c", "echo too bad >&2; exit 3", until=soon())
    assert failure.value.facts == {"command": "sh -c 'echo too bad >&2; exit 3'", "said": "too bad"}


def test_command_that_may_fail_gives_all_that_it_left(shell: Shell) -> None:
    output = shell.attempt("sh", "-c", "echo out; echo err >&2; exit 4", until=soon())
    assert (output.status, output.stdout, output.stderr) == (4, "out\n", "err\n")


def test_output_that_is_no_text_is_no_error(shell: Shell) -> None:
    assert shell.run("printf", r"\377", until=soon()) == "\ufffd"


def test_every_command_is_logged_with_its_status(shell: Shell, tmp_path: Path) -> None:
    shell.attempt("false", until=soon())
    shell.run("echo", "two words", until=soon())
    commands = (tmp_path / "commands.log").read_text().splitlines()
    assert commands[::2] == ["$ false", "$ echo 'two words'"]
    assert [line.split(",")[0] for line in commands[1::2]] == ["  (status 1", "  (status 0"]


def test_command_that_hangs_ends_with_its_deadline(tmp_path: Path) -> None:
    with entered(hang, tmp_path) as shell:
        begun = time.monotonic()
        with pytest.raises(DeadlineExpired) as failure:
            shell.run("cat", "/dev/hang", until=at_once())
    assert time.monotonic() - begun < 5
    assert failure.value.facts["command"] == "cat /dev/hang"
    assert "not ended" in (tmp_path / "commands.log").read_text()


def test_command_that_is_not_even_taken_ends_with_its_deadline(tmp_path: Path) -> None:
    with entered(ignore, tmp_path) as shell:
        begun = time.monotonic()
        with pytest.raises(DeadlineExpired, match="the guest answers"):
            shell.run("true", until=at_once())
        assert time.monotonic() - begun < 30  # half as long as the server would say nothing


def test_command_that_trickles_ends_with_its_deadline(tmp_path: Path) -> None:
    with entered(trickle, tmp_path) as shell, pytest.raises(DeadlineExpired):
        shell.attempt("tail", "--follow", "/var/log/syslog", until=at_once())


def test_file_that_trickles_ends_with_its_deadline(tmp_path: Path) -> None:
    with entered(trickle, tmp_path) as shell, pytest.raises(DeadlineExpired):
        shell.fetch([Copy("/var/crash/vmcore", tmp_path / "copy", 75)], at_once())


def test_connection_that_ends_amid_a_command_is_a_lost_guest(tmp_path: Path) -> None:
    with entered(die, tmp_path) as shell, pytest.raises(GuestLost) as failure:
        shell.run("sleep", "60", until=soon())
    assert failure.value.facts["command"] == "sleep 60"


def test_command_without_a_connection_is_a_lost_guest(shell: Shell) -> None:
    shell.close()
    with pytest.raises(GuestLost, match="no connection"):
        shell.run("true", until=soon())


def test_endless_output_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "_LARGEST_OUTPUT", 1 << 20)
    with entered(flood, tmp_path) as shell, pytest.raises(LabError, match="prints without end"):
        shell.run("yes", until=soon())


def test_what_is_left_running_outlives_the_connection_and_is_not_waited_for(shell: Shell) -> None:
    sleep = endless()
    shell.leave_running(f"sleep {sleep}", soon())
    shell.close()
    # It may still be on its way from sh to sleep.
    wait_until(lambda: _require(kill_all_with(sleep) == 1), soon(), retry_on=AssertionError)


def test_script_that_is_left_running_runs(shell: Shell, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.touch()
    shell.leave_running(f"echo \"it's $((6 * 7))\" > '{left}'", soon())
    wait_until(lambda: _require(left.read_text() == "it's 42\n"), soon(), retry_on=AssertionError)


def _require(condition: bool) -> None:
    assert condition


def test_leaving_something_running_on_a_machine_that_dies_ends_by_its_deadline(tmp_path: Path) -> None:
    with entered(hang, tmp_path) as shell, pytest.raises(DeadlineExpired):
        shell.leave_running("echo c > /proc/sysrq-trigger", at_once())


def test_file_is_fetched_whole_and_for_us_alone(shell: Shell, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "it's a dump").write_bytes(content)
    goal = tmp_path / "copy"
    shell.fetch([Copy(str(tmp_path / "it's a dump"), goal, len(content))], soon())
    assert goal.read_bytes() == content
    assert goal.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, 5, 7, 1 << 30])
def test_file_of_another_size_is_not_copied_whole(shell: Shell, tmp_path: Path, size: int) -> None:
    (tmp_path / "dump").write_bytes(b"vmcore")
    with pytest.raises(LabError, match="was not copied whole") as failure:
        shell.fetch([Copy(str(tmp_path / "dump"), tmp_path / "copy", size)], soon())
    assert failure.value.facts["expected"] == f"{size} bytes"


def test_several_files_come_by_one_command(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "dmesg").write_bytes(b"dmesg" * 100_000)
    (tmp_path / "dump").write_bytes(b"vmcore")
    copies = [
        Copy(str(tmp_path / "dmesg"), tmp_path / "a", 500_000),
        Copy(str(tmp_path / "dump"), tmp_path / "b", 6),
    ]
    shell.fetch(copies, soon())
    assert copies[0].goal.read_bytes() == b"dmesg" * 100_000
    assert copies[1].goal.read_bytes() == b"vmcore"


def test_file_that_grew_shifts_no_byte_into_the_next_unnoticed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"vmcore")
    path = str(tmp_path / "dump")
    with pytest.raises(LabError, match="was not copied whole"):
        shell.fetch([Copy(path, tmp_path / "a", 4), Copy(path, tmp_path / "b", 6)], soon())


def test_first_file_that_is_shorter_than_told_is_not_copied_whole(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "dmesg").write_bytes(b"dm")
    (tmp_path / "dump").write_bytes(b"vmcore")
    dmesg, dump = str(tmp_path / "dmesg"), str(tmp_path / "dump")
    with pytest.raises(LabError, match=f"{dmesg}, {dump} was not copied whole") as failure:
        shell.fetch([Copy(dmesg, tmp_path / "a", 5), Copy(dump, tmp_path / "b", 6)], soon())
    assert failure.value.facts == {"expected": "11 bytes", "got": "8 bytes", "status": "0"}


def test_file_that_is_not_there_is_not_copied(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="was not copied whole"):
        shell.fetch([Copy(str(tmp_path / "dump"), tmp_path / "copy", 0)], soon())


def test_file_without_end_is_left_off(tmp_path: Path) -> None:
    with entered(flood, tmp_path) as shell, pytest.raises(LabError, match="was not copied whole"):
        shell.fetch([Copy("/dev/zero", tmp_path / "copy", 100_000)], soon())


def test_copy_that_finds_no_room_is_this_hosts_fault() -> None:
    large = 1 << 20  # or it would only be noticed as the file is closed
    with pytest.raises(NoSpace, match="a copy cannot be written"):
        store([Copy("/dump", Path("/dev/full"), large)], lambda _: bytes(large))


def test_fetching_never_writes_over_another_file(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("precious")
    with pytest.raises(FileExistsError):
        shell.fetch([Copy("/etc/hostname", tmp_path / "copy", 1)], soon())
    assert (tmp_path / "copy").read_text() == "precious"


def test_machine_that_never_comes_up_is_told_by_the_deadline(tmp_path: Path, closed_port: int) -> None:
    login = Login("127.0.0.1", closed_port, KeyPair.generate(), KeyPair.generate())
    begun = time.monotonic()
    failure = fails_to_enter(login, tmp_path, at_once())
    assert time.monotonic() - begun < 5
    assert failure.message == f"SSH does not come up at 127.0.0.1:{closed_port}"
    assert failure.facts["reason"].startswith("ConnectionRefusedError")


def test_machine_that_accepts_and_says_nothing_is_told_by_the_deadline(
    tmp_path: Path, silent_port: int
) -> None:
    login = Login("127.0.0.1", silent_port, KeyPair.generate(), KeyPair.generate())
    begun = time.monotonic()
    assert "SSH does not come up" in fails_to_enter(login, tmp_path, at_once()).message
    assert time.monotonic() - begun < 5


def test_machine_that_does_not_know_our_key_is_not_entered(tmp_path: Path) -> None:
    with sshd() as server:
        stranger = replace(server.login, key=KeyPair.generate())
        failure = fails_to_enter(stranger, tmp_path, at_once())
    assert failure.facts["reason"].startswith("AuthenticationException")


def test_another_host_key_is_not_the_guest(tmp_path: Path) -> None:
    with sshd() as server:
        imposter = replace(server.login, host_key=KeyPair.generate())
        failure = fails_to_enter(imposter, tmp_path, at_once())
    assert failure.message == "somebody else answers at the guest's SSH port"


class OtherKind(KeyPair):
    """A host key of a kind that ours never is."""

    def load(self) -> paramiko.PKey:
        return paramiko.ECDSAKey.generate()


def test_host_key_of_another_kind_is_not_the_guest_either(tmp_path: Path) -> None:
    with sshd() as server:
        login, server.host_key = server.login, OtherKind("", "")
        failure = fails_to_enter(login, tmp_path, soon())
    assert failure.message == "somebody else answers at the guest's SSH port"


def test_another_host_key_is_refused_at_once(tmp_path: Path) -> None:
    with sshd() as server:
        imposter = replace(server.login, host_key=KeyPair.generate())
        begun = time.monotonic()
        fails_to_enter(imposter, tmp_path, Deadline.after(2, "the guest answers"))
    assert time.monotonic() - begun < 1


def test_machine_that_ends_while_it_is_waited_for_ends_the_wait(tmp_path: Path, closed_port: int) -> None:
    def gone() -> None:
        raise GuestLost("QEMU ended")

    login = Login("127.0.0.1", closed_port, KeyPair.generate(), KeyPair.generate())
    with pytest.raises(GuestLost, match="QEMU ended"):
        Shell(login, tmp_path / "commands.log").connect(soon(), gone)


def test_machine_that_comes_up_late_is_entered(tmp_path: Path) -> None:
    asked = threading.Semaphore(0)
    with sshd() as server:
        late = Shell(server.login, tmp_path / "commands.log")
        late.connect(soon(), asked.release)
        assert late.run("echo", "up", until=soon()) == "up\n"
        late.close()
    assert asked.acquire(blocking=False)


def test_shell_can_enter_again_after_a_reboot(shell: Shell) -> None:
    shell.close()
    shell.connect(soon(), lambda: None)
    assert shell.run("echo", "back", until=soon()) == "back\n"
