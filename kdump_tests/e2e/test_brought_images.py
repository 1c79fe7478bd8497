"""A disk as users bring it, with firmware, GRUB and cloud-init: minutes each, so run by tox -e machines."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.report.facts import Crash, Dump, GuestBooted, Reservation
from kdump_tests.sizes import MIB

pytestmark = pytest.mark.long

# Where images/recipes/debian-cloud/build puts the root partition, in bytes.
_ROOT = 73728 * 512
_LOOK = ("-k", "service or reservation")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, under the name that its user gave it."""
    built = ImageStore(default_cache()).get("debian-12-cloud")
    return converted(built.disk, tmp_path_factory.mktemp("brought") / "theirs.qcow2")


def converted(disk: Path, goal: Path) -> Path:
    """The same disk in the format that the name says."""
    subprocess.run(
        ["qemu-img", "convert", "-O", goal.suffix.removeprefix("."), str(disk), str(goal)], check=True
    )
    return goal


def booted(run: SuiteRun) -> GuestBooted:
    (fact,) = (fact for fact in run.facts if isinstance(fact, GuestBooted))
    return fact


def digest(path: Path) -> tuple[str, int]:
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("asked", "passed"),
    [("auto", "384M-:128M"), ("512M-2G:160M,2G-:256M", "512M-2G:160M,2G-:256M")],
)
def test_kdump_works_on_a_disk_of_the_users_and_nothing_is_written_to_it(
    runner: Runner, disk: Path, asked: str, passed: str
) -> None:
    before = digest(disk)
    run = runner.run(f"--image={disk}", "--memory=1G", f"--crashkernel={asked}")
    assert run.exit_status == 0, run.output
    assert digest(disk) == before
    assert booted(run).crashkernel_passed == passed
    words = booted(run).command_line.split()
    assert words[0].startswith("BOOT_IMAGE=/boot/vmlinuz")  # GRUB was there
    assert f"crashkernel={passed}" in words
    (crash,) = (fact for fact in run.facts if isinstance(fact, Crash))
    assert crash.phases[-1].name == "login"
    assert any(isinstance(fact, Dump) and fact.complete for fact in run.facts)
    assert runner.left_overs() == []


@pytest.mark.parametrize(
    ("asked", "memory", "kept"),
    [
        ("192M", "1G", 192),
        ("128M,high crashkernel=64M,low", "1G", 128),  # all lies below 4 GiB: no low memory on top
        ("128M,high crashkernel=64M,low", "5G", 192),
        ("64M@512M", "1G", 64),
    ],
)
def test_value_goes_through_grub_and_is_kept_aside(
    runner: Runner, disk: Path, asked: str, memory: str, kept: int
) -> None:
    run = runner.run(f"--image={disk}", f"--memory={memory}", f"--crashkernel={asked}", *_LOOK)
    assert run.exit_status == 0, run.output
    assert " ".join(word for word in booted(run).command_line.split() if "crashkernel" in word) == (
        f"crashkernel={asked}"
    )
    (told,) = (fact for fact in run.facts if isinstance(fact, Reservation) and not fact.probed_only)
    assert told.iomem == kept * MIB


def test_none_is_taken_out_of_grub(runner: Runner, disk: Path) -> None:
    run = runner.run(f"--image={disk}", "--memory=1G", "--crashkernel=none", *_LOOK)
    assert run.exit_status == 1, run.output
    assert "crashkernel" not in booted(run).command_line


@pytest.mark.parametrize("firmware", ["uefi", "secure-boot"])
def test_uefi_boots_it_too(runner: Runner, disk: Path, firmware: str) -> None:
    run = runner.run(f"--image={disk}", "--memory=1G", f"--firmware={firmware}", *_LOOK)
    assert run.exit_status == 0, run.output


def equipped(runner: Runner) -> Path:
    """The disk with kdump on it, which takes a quarter of an hour under TCG: put there once for all runs."""
    run = runner.run("--image=debian-12-cloud", "--memory=1G", "-k", "service")
    assert run.exit_status == 0, run.output
    (made,) = (default_cache() / "introduced" / "debian-12-cloud").glob("*/disk.qcow2")
    return made


@pytest.mark.parametrize(("name", "firmware"), [("theirs.vmdk", "bios"), ("theirs.raw", "uefi")])
def test_disk_may_be_of_another_format(runner: Runner, tmp_path: Path, name: str, firmware: str) -> None:
    other = converted(equipped(runner), tmp_path / name)
    before = digest(other)
    run = runner.run(f"--image={other}", "--memory=1G", f"--firmware={firmware}")
    assert run.exit_status == 0, run.output
    assert digest(other) == before
    assert any(isinstance(fact, Dump) and fact.complete for fact in run.facts)


def changed(disk: Path, raw: Path, *commands: str) -> Path:
    """A copy of it that debugfs(8) did something to."""
    converted(disk, raw)
    for command in commands:
        where = f"{raw}?offset={_ROOT}"
        subprocess.run(
            [shutil.which("debugfs") or "/usr/sbin/debugfs", "-w", "-R", command, where], check=True
        )
    return raw


# As installers of distributions leave it: nothing of the kernel's but errors comes to the console.
_QUIET = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
"""


def test_kdump_works_on_a_disk_whose_kernel_says_nothing(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "grub").write_text(_QUIET)
    commands = ("rm /etc/default/grub", f"write {tmp_path}/grub /etc/default/grub")
    quiet = changed(equipped(runner), tmp_path / "quiet.raw", *commands)
    # Another value than it boots with, so that update-grub(8) reads what is written there.
    run = runner.run(f"--image={quiet}", "--memory=1G", "--crashkernel=192M")
    assert run.exit_status == 0, run.output
    assert "quiet" in booted(run).command_line.split()
    (crash,) = (fact for fact in run.facts if isinstance(fact, Crash))
    assert crash.phases[-1].name == "rebooted"
    assert any(isinstance(fact, Dump) and fact.complete for fact in run.facts)


@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        ("no-cloud-init", "write /dev/null /etc/cloud/cloud-init.disabled", "cloud-init with NoCloud"),
        ("no-sshd", "rm /usr/sbin/sshd", "an SSH server"),
        ("no-grub-cfg", "rm /boot/grub/grub.cfg", "print to its serial console"),
    ],
)
def test_disk_that_lets_nobody_in_is_told_what_it_must_have(
    runner: Runner, disk: Path, tmp_path: Path, name: str, command: str, words: str
) -> None:
    bad = changed(disk, tmp_path / f"{name}.raw", command)
    run = runner.run(f"--image={bad}", "--memory=1G", *_LOOK)
    assert run.exit_status == 66, run.output
    assert f"nobody can enter a machine of {bad}" in run.output
    assert words in " ".join(run.output.split())
    assert runner.left_overs() == []


def test_disk_with_no_kdump_and_no_repository_that_answers_is_told_so(
    runner: Runner, disk: Path, tmp_path: Path
) -> None:
    bad = changed(disk, tmp_path / "no-repository.raw", "rm /etc/apt/sources.list")
    run = runner.run(f"--image={bad}", "--memory=1G", *_LOOK)
    assert run.exit_status == 66, run.output
    assert "has no kdump, and it cannot be installed" in run.output
