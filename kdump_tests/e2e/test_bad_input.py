"""What cannot work ends within its deadline, says what, why and what to do, and leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner

_ONE = "--memory=1G"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            ["--image=debian-99"],
            64,
            [
                "there is no image 'debian-99'",
                "debian-12, debian-12-arm64, debian-12-cloud, debian-12-storage",
            ],
        ),
        (
            ["--image=debian-12-arm64"],
            64,
            ["no guest boots it", "kdump-verify probe --image debian-12-arm64"],
        ),
        (["--memory=banana"], 64, ["'banana' is not a memory size", "512M"]),
        (["--memory=1G", "--crashkernel=2G"], 64, ["crashkernel=2G keeps nothing aside on a machine of 1G"]),
        (["--crashkernel=1G-:64M:"], 64, ["1G-:64M:"]),
        (["--memory=16M"], 64, ["a guest cannot have 16M of memory"]),
        (["--accel=magic"], 64, ["accelerator", "'auto', 'kvm' or 'tcg'"]),
        (["--connect=qemu+ssh://elsewhere/system"], 64, ["another host", "run the suite on elsewhere"]),
        (
            ["--connect=qemu+unix:///system?socket=/nowhere"],
            69,
            ["no libvirt at", "qemu:///embed needs none"],
        ),
    ],
)
def test_wrong_choices_are_refused(
    runner: Runner, arguments: list[str], status: int, words: list[str]
) -> None:
    run = runner.run(*arguments)
    assert run.exit_status == status, run.output
    assert [word for word in words if word not in run.output] == [], run.output
    assert "Traceback" not in run.output
    assert runner.left_overs() == []


def test_host_without_qemu_is_told_how_to_get_it(runner: Runner) -> None:
    run = runner.run(env={"PATH": "/nowhere"})
    assert run.exit_status == 69, run.output
    assert "qemu-system-x86_64 is not installed" in run.output
    assert "scripts/setup" in run.output


def test_full_disk_of_the_host_stops_the_run_before_any_guest(small_disk: Path, runner: Runner) -> None:
    run = runner.run(_ONE, env={"KDUMP_VERIFY_RUNS": str(small_disk)})
    assert run.exit_status == 73, run.output
    assert "not enough disk space for the disk of debian-12-1G" in run.output
    assert "KDUMP_VERIFY_RUNS" in run.output


def test_kernel_that_does_not_boot_ends_at_the_decisive_line(runner: Runner) -> None:
    run = runner.run(_ONE, "--kernel-argument=init=/bin/false")
    assert run.exit_status == 75, run.output
    message = run.verdicts["test_kernel_panics_for_the_reason_we_gave"].message
    assert "the guest does not boot" in message
    assert "Kernel panic - not syncing: Attempted to kill init!" in message
    assert runner.left_overs() == []


def test_ssh_that_never_comes_up_ends_by_its_deadline(runner: Runner) -> None:
    run = runner.run(_ONE, "--kernel-argument=systemd.mask=ssh.service")
    assert run.exit_status == 75, run.output
    message = run.verdicts["test_kernel_panics_for_the_reason_we_gave"].message
    assert "SSH does not come up at 127.0.0.1:" in message
    assert "console.log" in message
    assert runner.left_overs() == []


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = Path("/var/tmp/kv-small")  # noqa: S108 - short, as sockets lie below it
    folder.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64M,mode=700", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("this host does not let us mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
