"""A guest that pretends to be somebody's machine: all that is known of it is what an SSH user knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.report.facts import Crash, Dump
from kdump_tests.sizes import GIB
from kdump_tests.unit.guest.ssh_server import sshd

_CONFIGURATION = "/etc/default/kdump-tools"


@dataclass(frozen=True)
class Somebodys:
    """The machine, and what its user has at home: a key, and the host's own among known_hosts."""

    guest: Guest
    runner: Runner
    home: Path

    def verified(self, *arguments: str) -> SuiteRun:
        """The suite on it, as that user."""
        port = self.guest.shell.login.port
        address = (f"--host=root@127.0.0.1:{port}", f"--identity={self.home / 'key'}")
        return self.runner.run(*address, *arguments, env={"HOME": str(self.home)})

    def again(self) -> str:
        """Enter it once more, whatever happened; the id of its boot."""
        self.guest.shell.connect(self.guest.deadline(300, "the machine answers"), lambda: None)
        return self.guest.boot_id()


@pytest.fixture
def somebodys(runner: Runner, opened_lab: tuple[Lab, BuiltImage], tmp_path: Path) -> Iterator[Somebodys]:
    with _machine(runner, opened_lab, tmp_path) as machine:
        yield machine


@contextmanager
def _machine(runner: Runner, opened_lab: tuple[Lab, BuiltImage], folder: Path) -> Iterator[Somebodys]:
    spec = GuestSpec("debian-12", 1 * GIB, "384M-:128M")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    lab, built = opened_lab
    with lab.guest(spec, built, folder) as guest:
        (home / "key").touch(mode=0o600)
        (home / "key").write_text(lab.run.guest_key.private)
        known = f"[127.0.0.1]:{guest.shell.login.port} {lab.run.host_key.public}\n"
        (home / ".ssh" / "known_hosts").write_text(known)
        guest.shell.run(
            "systemctl", "is-system-running", "--wait", until=guest.deadline(240, "its boot is over")
        )
        yield Somebodys(guest, runner, home)


def test_host_is_refused_under_another_name_and_crashed_under_its_own_then_left_as_it_was(
    somebodys: Somebodys,
) -> None:
    guest = somebodys.guest
    # Its dumps lie where its own configuration has them.
    own = 'mkdir -p "$1" && echo KDUMP_COREDIR="$1" >> "$0"'
    guest.shell.run("sh", "-c", own, _CONFIGURATION, "/srv/crashes", until=guest.command_deadline())
    configuration, boot = guest.read(_CONFIGURATION), guest.boot_id()

    refused = somebodys.verified("--allow-crash=kdump-gues")
    assert refused.exit_status == 64, refused.output
    assert "--allow-crash kdump-gues is not this host" in refused.output
    assert somebodys.again() == boot

    run = somebodys.verified(
        "--allow-crash=kdump-guest", "--stack=debian", "--kdump-setting=MAKEDUMP_ARGS=-c -d 17"
    )
    assert run.exit_status == 0, run.output
    assert run.tests("failed") == run.tests("error") == set()
    assert "test_vmcore_is_the_crash_we_caused" in run.tests("passed")
    (crash,) = (fact for fact in run.facts if isinstance(fact, Crash))
    assert {phase.name for phase in crash.phases} >= {
        "panic",
        "capture kernel started",
        "dump saved",
        "rebooted",
    }
    assert crash.boot_id_before == boot
    (dump,) = (fact for fact in run.facts if isinstance(fact, Dump))
    assert (dump.complete, dump.path.rpartition("/")[0]) == (True, "/srv/crashes")

    assert somebodys.again() not in {boot, None}
    assert guest.read(_CONFIGURATION) == configuration
    assert guest.read("/sys/kernel/kexec_crash_loaded").strip() == "1"
    assert "kdump-verify" not in guest.shell.run("ls", "/var/tmp", until=guest.command_deadline())  # noqa: S108


@pytest.mark.long
@pytest.mark.parametrize(
    ("circumstances", "ends", "reached"),
    [([], 0, "dump saved"), (["-p", "kdump_tests.e2e.full_disk"], 1, "dump started")],
    ids=["saved", "disk-full"],
)
def test_phases_come_from_the_hosts_console_and_it_is_left_as_it_was_also_after_a_failure(
    somebodys: Somebodys, circumstances: list[str], ends: int, reached: str
) -> None:
    guest = somebodys.guest
    configuration, boot = guest.read(_CONFIGURATION), guest.boot_id()
    run = somebodys.verified(
        "--allow-crash=kdump-guest", f"--console=tail --lines=+1 --follow=name {guest.console.record}",
        "--stack=debian", "--kdump-setting=MAKEDUMP_ARGS=-c -d 17", "--patience=4", *circumstances,
    )  # fmt: skip
    assert run.exit_status == ends, run.output
    (crash,) = (fact for fact in run.facts if isinstance(fact, Crash))
    phases = {phase.name: phase.line for phase in crash.phases}
    assert "elfcorehdr=" in phases["capture kernel started"]  # its own words, which no artifact has
    assert [name for name in phases if name in {"dump started", "dump saved"}][-1] == reached
    assert crash.boot_id_after not in {None, boot}
    assert somebodys.again() == crash.boot_id_after
    assert guest.read(_CONFIGURATION) == configuration
    assert guest.read("/sys/kernel/kexec_crash_loaded").strip() == "1"
    assert "kdump-verify" not in guest.shell.run("ls", "/var/tmp", until=guest.command_deadline())  # noqa: S108


@pytest.mark.long
def test_console_that_ends_in_the_middle_of_a_crash_is_not_taken_for_the_machines_end(
    somebodys: Somebodys,
) -> None:
    record = somebodys.guest.console.record
    until_panic = f"sh -c 'tail --lines=+1 --follow=name {record} | sed --unbuffered /Kernel.panic/q'"
    run = somebodys.verified("--allow-crash=kdump-guest", f"--console={until_panic}", "--patience=4")
    assert run.exit_status == 0, run.output
    (crash,) = (fact for fact in run.facts if isinstance(fact, Crash))
    assert crash.phases[-1].name == "rebooted"
    told = run.verdicts["test_machine_ends_as_it_was_told"]
    assert "its console ended before the machine was back" in told.message


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A machine without kdump, as which this one answers; and the home of a user who knows it."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    with sshd() as server:
        (home / "key").touch(mode=0o600)
        (home / "key").write_text(server.login_key.private)
        known = f"[127.0.0.1]:{server.login.port} {server.host_key.public}\n"
        (home / ".ssh" / "known_hosts").write_text(known)
        yield f"--host=root@127.0.0.1:{server.login.port}", home


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--allow-crash=another"], "--allow-crash another is not this host"),
        (["--stack=el"], "this machine has no kdump that is known"),
        (["--crashkernel=512M"], "the boot loader of an existing host is left as it is"),
    ],
)
def test_host_that_cannot_be_verified_is_left_alone(
    runner: Runner, stranger: tuple[str, Path], arguments: list[str], words: str
) -> None:
    host, home = stranger
    run = runner.run(host, f"--identity={home / 'key'}", *arguments, env={"HOME": str(home)})
    assert run.exit_status == 64, run.output
    assert words in run.output
    assert "Traceback" not in run.output


def test_host_whose_key_is_another_is_not_entered(runner: Runner, stranger: tuple[str, Path]) -> None:
    host, home = stranger
    other = f"[127.0.0.1]:{host.rpartition(':')[2]} {KeyPair.generate().public}\n"
    (home / ".ssh" / "known_hosts").write_text(other)
    run = runner.run(host, f"--identity={home / 'key'}", env={"HOME": str(home)})
    assert run.exit_status == 75, run.output
    assert "HostKeyChanged: somebody else answers" in run.output
