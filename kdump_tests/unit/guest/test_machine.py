"""A booting guest is reached, or it is told at which line it failed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import NonCallableMock, create_autospec

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import GuestLost, GuestNotReached, HostKeyChanged
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.console import Console
from kdump_tests.guest.file_channel import PORT, FileChannel
from kdump_tests.guest.hypervisor import Domain
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy, Output, Shell
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB
from kdump_tests.unit.guest.described import built_image

BOOTS = b"[    0.000000] Linux version 6.1.0\r\n[    1.0] Run /init as init process\r\n"
PATIENT = Accelerator("kvm", "a story", 1.0)
# So fast a host that patience ends in a fraction of a second.
FAST = Accelerator("kvm", "a story", 0.002)


def guest_with(console: Console, accelerator: Accelerator = PATIENT) -> Guest:
    return Guest(
        name="debian-12-1G",
        spec=GuestSpec("debian-12", GIB, None),
        image=built_image(),
        accelerator=accelerator,
        console=console,
        shell=create_autospec(Shell, instance=True),
        files=create_autospec(FileChannel, instance=True),
        folder=console.record.parent,
        start_again=lambda: (Console(console.record), create_autospec(Domain, instance=True)),
        root_disk=console.record.parent / "root.qcow2",
    )


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    console = Console(tmp_path / "console.log")
    yield guest_with(console)
    console.close()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Guest]:
    console = Console(tmp_path / "console.log")
    yield guest_with(console, FAST)
    console.close()


@pytest.fixture
def shell(guest: Guest) -> NonCallableMock:
    shell = guest.shell
    assert isinstance(shell, NonCallableMock)
    return shell


def prints(guest: Guest, what: bytes) -> None:
    with guest.console.record.open("ab") as serial:
        serial.write(what)


def soon() -> Deadline:
    return Deadline.after(10, "it is done")


@pytest.mark.parametrize(
    "near",
    [
        b"kdump-guest login: ",
        b"[  OK  ] Started \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r\n",
        b"[  OK  ] Started sshd.service - OpenSSH server daemon.\r\n",
    ],
)
def test_guest_is_entered_once_ssh_is_near(guest: Guest, shell: NonCallableMock, near: bytes) -> None:
    prints(guest, BOOTS + near)
    guest.reach(0)
    shell.connect.assert_called_once()
    assert guest.boot_seconds > 0


@pytest.mark.parametrize(
    "line",
    [
        "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        "(initramfs) ",
        'You are in emergency mode. After logging in, type "journalctl -xb"',
        "BdsDxe: No bootable option or device was found.",
        "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.",
    ],
)
def test_boot_that_fails_is_told_by_its_decisive_line(
    guest: Guest, shell: NonCallableMock, line: str
) -> None:
    prints(guest, BOOTS + line.encode() + b"\r\nkdump-guest login: ")
    with pytest.raises(GuestNotReached, match="the guest does not boot") as failure:
        guest.reach(0)
    assert failure.value.facts["decisive line"] == line.strip()
    assert failure.value.facts["console"] == f"{guest.console.record}:3"
    shell.connect.assert_not_called()


def test_boot_that_stalls_is_told_with_its_last_lines(impatient: Guest) -> None:
    prints(impatient, BOOTS)
    with pytest.raises(GuestNotReached, match="debian-12-1G: the boot ends") as failure:
        impatient.reach(0)
    assert failure.value.facts["last lines"].endswith("Run /init as init process")


def test_machine_that_prints_nothing_is_told_as_such(impatient: Guest) -> None:
    with pytest.raises(GuestNotReached, match="the first line"):
        impatient.reach(0)


def test_machine_that_ends_while_it_boots_is_lost(guest: Guest) -> None:
    prints(guest, BOOTS)
    guest.console.machine_ended()
    with pytest.raises(GuestLost, match="ended while it booted") as failure:
        guest.reach(0)
    assert failure.value.facts["console"] == str(guest.console.record)


def test_login_of_an_earlier_boot_does_not_count(impatient: Guest) -> None:
    prints(impatient, BOOTS + b"kdump-guest login: \r\n")
    assert impatient.console.expect(re.compile("login"), 0, soon())
    with pytest.raises(GuestNotReached, match="the first line"):
        impatient.reach(impatient.console.end)


def test_ssh_that_does_not_answer_is_told_with_the_console(guest: Guest, shell: NonCallableMock) -> None:
    shell.connect.side_effect = GuestNotReached("SSH does not come up", reason="refused")
    prints(guest, BOOTS + b"kdump-guest login: ")
    with pytest.raises(GuestNotReached, match="SSH does not come up") as failure:
        guest.reach(0)
    assert failure.value.facts["reason"] == "refused"
    assert failure.value.facts["console"] == str(guest.console.record)


def test_machine_that_is_gone_is_not_alive(guest: Guest) -> None:
    guest.require_alive()
    guest.console.close()
    with pytest.raises(GuestLost, match="QEMU ended"):
        guest.require_alive()


def test_console_of_anothers_machine_may_end_before_the_machine(guest: Guest) -> None:
    guest.root_disk = None
    assert guest.watched
    guest.console.close()
    guest.require_alive()
    assert not guest.watched


def test_machine_of_ours_that_is_gone_is_not_waited_for(guest: Guest) -> None:
    answers(guest, GuestLost("nobody there"))
    guest.console.close()
    with pytest.raises(GuestLost, match="QEMU ended"):
        guest.come_back("before")


@pytest.mark.parametrize(("status", "way"), [(0, "files"), (1, "shell")])
def test_file_takes_the_fast_way_where_there_is_one(
    guest: Guest, shell: NonCallableMock, status: int, way: str
) -> None:
    shell.attempt.return_value = Output("test", status, "", "")
    guest.fetch([Copy("/vmcore", guest.folder / "copy", 1)], soon())
    used = [name for name in ("files", "shell") if getattr(guest, name).fetch.called]
    assert used == [way]


def test_port_is_looked_for_once(guest: Guest, shell: NonCallableMock) -> None:
    shell.attempt.return_value = Output("test", 0, "", "")
    assert guest.has_file_port()
    assert guest.has_file_port()
    shell.attempt.assert_called_once()
    assert shell.attempt.call_args.args == ("test", "-c", PORT)


def test_deadlines_name_the_guest(guest: Guest) -> None:
    assert guest.command_deadline().what == "debian-12-1G: a command ends"


def test_files_are_read_by_one_command(guest: Guest, shell: NonCallableMock) -> None:
    shell.run.return_value = "one\ntwo\n"
    assert guest.read("/one", "/two") == "one\ntwo\n"
    assert shell.run.call_args.args == ("cat", "--", "/one", "/two")


def test_a_machine_that_was_off_goes_on_in_the_same_record(guest: Guest) -> None:
    with guest.console.record.open("a") as record:
        record.write("reboot: Power down\n")
    assert guest.console.expect(re.compile("Power down"), 0, soon())
    guest.console.machine_ended()
    start = guest.power_on()
    with guest.console.record.open("a") as record:
        record.write("Started ssh\n")
    line = guest.console.expect(re.compile("ssh"), start, soon())
    assert line
    assert line.number == 2
    guest.console.close()


@pytest.fixture
def silent(guest: Guest) -> Guest:
    """A host without a console, so fast that 40 minutes are a second."""
    guest.has_console = False
    guest.accelerator = Accelerator("host", "a story", 0.0005)
    return guest


def answers(guest: Guest, *told: str | Exception) -> Any:
    """What its shell says of its boot, each time it is asked; the last one for ever."""
    shell: Any = guest.shell
    said = list(told)

    def run(*_argv: str, until: Deadline) -> str:
        answer = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    shell.run.side_effect = run
    return shell


def test_host_is_back_when_its_boot_is_another_one(silent: Guest) -> None:
    answers(silent, "before\n", GuestLost("it went"), "after\n")
    assert silent.come_back("before") == "after"


def test_host_that_nothing_stopped_is_not_back(silent: Guest) -> None:
    answers(silent, "before\n")
    with pytest.raises(GuestLost, match="still runs: nothing stopped it"):
        silent.come_back("before")


@pytest.mark.parametrize("error", [HostKeyChanged("another key"), GuestNotReached("SSH does not come up")])
def test_host_that_another_answers_for_or_nobody_is_told_as_that(silent: Guest, error: Exception) -> None:
    answers(silent, "before\n").connect.side_effect = error
    with pytest.raises(type(error)):
        silent.come_back("before")


def test_host_without_a_console_is_waited_for_by_ssh_alone(silent: Guest) -> None:
    silent.reach(0)
    shell: Any = silent.shell
    shell.connect.assert_called_once()


def test_files_of_a_host_come_by_ssh_whatever_ports_it_has(silent: Guest) -> None:
    silent.files = None
    silent._has_port = True  # it is a guest of somebody's, with a port of theirs
    silent.fetch([], soon())
    shell: Any = silent.shell
    shell.fetch.assert_called_once()
