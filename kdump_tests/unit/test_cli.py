"""kdump-verify, for what needs no guest."""

from pathlib import Path

import pytest

from kdump_tests.cli import main
from kdump_tests.guest.saved_state import SavedStates
from kdump_tests.sizes import GIB
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
