"""kdump-verify, for what needs no guest."""

import json
from pathlib import Path

import pytest

from kdump_tests.cli import main
from kdump_tests.guest.saved_state import SavedStates
from kdump_tests.sizes import GIB, MIB
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
    assert [(row["expected"], row["expected_low"]) for row in rows] == [(192 * MIB, 0), (2 * GIB, 256 * MIB)]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--crashkernel=1G-:64M:"], "expected after a range"),
        (["--crashkernel=4G-2G:1M"], "end <= start"),
        (["--policy=rhel99"], "there is no policy 'rhel99'"),
        (["--crashkernel=256M", "--memory=0"], "cannot have 0 bytes"),
        (["--crashkernel=256M", "--memory=banana"], "'banana' is not a memory size"),
        ([], "nothing is asked"),
    ],
)
def test_question_that_cannot_be_asked_is_refused(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["expect", *words]) == 64
    assert reason in capsys.readouterr().err
