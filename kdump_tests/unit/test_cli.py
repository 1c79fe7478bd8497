"""kdump-verify, for what needs no guest."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kdump_tests.cli import main
from kdump_tests.guest.saved_state import SavedStates
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.crashkernel.kernels import IMAGE
from kdump_tests.unit.guest.test_saved_state import save


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedStates:
    monkeypatch.setenv("KDUMP_VERIFY_CACHE", str(tmp_path))
    return SavedStates(tmp_path, GIB)


def test_saved_states_are_listed_and_removed(
    states: SavedStates, capsys: pytest.CaptureFixture[str]
) -> None:
    save(states, "whole")
    save(states, "torn")
    (states.root / "torn" / "state" / "memory").unlink()
    assert main(["state", "list"]) == 0
    told = capsys.readouterr().out
    assert "kv-1, armed after a boot of 42.5 s" in told
    assert "damaged" in told
    assert main(["state", "remove"]) == 0
    assert capsys.readouterr().out == "2 saved states removed\n"
    assert not states.sizes()


def test_limit_that_is_no_size_is_refused(
    states: SavedStates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_STATES_SIZE", "much")
    assert main(["state", "list"]) == 64
    assert "KDUMP_VERIFY_STATES_SIZE" in capsys.readouterr().err
    assert not states.sizes()


def test_expectation_is_told_without_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expect", "--policy=rhel8-rule-of-thumb", "--memory=1G,65G", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    told = [[(each["main"], each["low"]) for each in row["expected"]] for row in rows]
    assert told == [[(192 * MIB, 0)], [(2 * GIB, 256 * MIB)]]


def test_expectation_depends_on_the_kernel_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    def expected(*words: str) -> int:
        assert main(["expect", *words, "--memory=2047M", "--json"]) == 0
        return int(json.loads(capsys.readouterr().out)[0]["expected"][0]["main"])

    # Rounded up to 2 GiB by the newest; Alibaba's 4.19 does not.
    assert expected("--crashkernel=2G-:192M") == 192 * MIB
    assert expected("--crashkernel=2G-:192M", "--release=5.10.0-60.18.0.50.oe2203") == 0
    assert expected("--policy=anolis-2") == 0
    assert expected("--policy=anolis-2", "--release=6.12.0") == 192 * MIB


def test_so_much_more_is_added_to_every_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expect", "--policy=rhel10", "--add=64M", "--memory=1G,4G,64G"]) == 0
    heading, none, some, more = capsys.readouterr().out.splitlines()
    assert heading == "crashkernel=2G-64G:320M,64G-:576M"
    assert [line.split()[2] for line in (none, some, more)] == ["0", "320M", "576M"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--arch=ppc64le", "--policy=rhel9"], "vmlinuz is a kernel of arm64, not of ppc64le"),
        (["--policy=debian-12"], "the policy debian-12 says nothing about arm64"),
        (["--policy=rhel9", "--memory=1G,1025K"], "cannot have 1049600 bytes"),
        (
            ["--policy=rhel9", "--memory=1G", "--accel=kvm"],
            "'kvm' is no accelerator for qemu-system-aarch64",
        ),
    ],
)
def test_question_that_this_kernel_cannot_be_asked_is_refused(
    tmp_path: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vmlinuz").write_bytes(IMAGE)
    assert main(["probe", f"--kernel={tmp_path / 'vmlinuz'}", *words]) == 64
    assert reason in capsys.readouterr().err


def test_image_is_not_built_for_a_question_that_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_CACHE", str(tmp_path))
    assert main(["probe", "--image=debian-12-arm64", "--arch=x86_64", "--policy=rhel9"]) == 64
    assert "debian-12-arm64 is a kernel of arm64, not of x86_64" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_images_are_listed_with_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_CACHE", str(tmp_path))
    assert main(["image", "list"]) == 0
    told = capsys.readouterr().out
    assert "debian-13-ppc64le not built\n" in told
    assert "The kernel of Debian 13 for ppc64le" in told


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--crashkernel=1G-:64M:"], "expected after a range"),
        (["--crashkernel=4G-2G:1M"], "end <= start"),
        (["--policy=rhel99"], "there is no policy 'rhel99'"),
        (["--crashkernel=256M", "--memory=0"], "cannot have 0 bytes"),
        (["--crashkernel=256M", "--memory=banana"], "'banana' is not a memory size"),
        (["--crashkernel=256M", "--release=banana"], "'banana' is no kernel release"),
        (["--crashkernel=256M", "--add=some"], "'some' is not a memory size"),
        (["--crashkernel=auto", "--add=64M"], "no size to add to"),
        ([], "nothing is asked"),
    ],
)
def test_question_that_cannot_be_asked_is_refused(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["expect", *words]) == 64
    assert reason in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_trouble() -> None:
    """As with ``kdump-verify expect … | head``."""
    asked = [sys.executable, "-m", "kdump_tests", "expect", "--crashkernel=256M", "--memory=1G"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE
