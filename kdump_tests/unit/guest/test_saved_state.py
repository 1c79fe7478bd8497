"""Saved states: found by who would make the same, whole or not at all, and no more than fit."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, LabError
from kdump_tests.guest.cache import abandoned, locked, shared
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.saved_state import SavedState, SavedStates, chosen_limit, digest, move
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.guest.others import python, said

KEYS = KeyPair("public half", "private half"), KeyPair("host's public half", "host's private half")
MAKE = """
import sys
from pathlib import Path
from kdump_tests.deadline import Deadline
from kdump_tests.guest.saved_state import SavedStates
states = SavedStates(Path(sys.argv[1]), 1 << 30)
with states.making("key", Deadline.after(10, "made")), states.new("key") as folder:
    (folder / "memory").write_bytes(b"half")
    print("half made", flush=True)
    sys.stdin.read()
"""


def soon() -> Deadline:
    return Deadline.after(10, "it is done")


def save(states: SavedStates, key: str, size: int = MIB, used_at: float | None = None) -> None:
    with states.making(key, soon()), states.new(key) as folder:
        (folder / "memory").write_bytes(os.urandom(size))
        (folder / "root.qcow2").write_bytes(b"disk")
        (folder / "console.log").write_text("Linux version\n")
        states.keep(key, SavedState(folder, "kv-1", 1795426736.5, 42.5, *KEYS))
    if used_at is not None:
        os.utime(states._folder(key) / "state.json", (used_at, used_at))


@pytest.fixture
def states(tmp_path: Path) -> SavedStates:
    return SavedStates(tmp_path, GIB)


def test_a_state_is_found_as_it_was_kept(states: SavedStates) -> None:
    save(states, "key")
    with states.using("key", soon()) as state:
        assert state is not None
        assert (state.name, state.made_at, state.boot_seconds) == ("kv-1", 1795426736.5, 42.5)
        assert (state.guest_key, state.host_key) == KEYS
        assert state.memory.stat().st_size == MIB
        assert state.console.read_text() == "Linux version\n"
        assert state.disk("root.qcow2").read_bytes() == b"disk"


def test_nobody_else_can_read_it(states: SavedStates) -> None:
    save(states, "key")
    folder = states._folder("key")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "state.json").stat().st_mode & 0o077 == 0


def test_there_is_none_under_another_key(states: SavedStates) -> None:
    save(states, "key")
    assert states.find("other") is None
    assert not states.is_damaged("other")


@pytest.mark.parametrize("name", ["memory", "root.qcow2", "console.log", "state.json"])
@pytest.mark.parametrize("damage", ["deleted", "truncated", "longer"])
def test_a_damaged_state_is_none(states: SavedStates, name: str, damage: str) -> None:
    save(states, "key")
    file = states._folder("key") / name
    match damage:
        case "deleted":
            file.unlink()
        case "truncated":
            os.truncate(file, file.stat().st_size // 2)
        case "longer":
            file.write_bytes(file.read_bytes() + b"}")
    assert states.find("key") is None
    assert states.is_damaged("key")
    save(states, "key")
    assert states.find("key") is not None


def test_a_kill_amid_the_making_leaves_nothing_that_is_used(states: SavedStates) -> None:
    with python(MAKE, states.cache) as maker:
        assert said(maker) == "half made"
        maker.kill()
    assert states.find("key") is None
    assert len(abandoned(states.cache)) == 1
    save(states, "key")
    assert states.find("key") is not None
    assert abandoned(states.cache) == ()


def test_who_comes_second_waits_and_finds_what_the_first_made(states: SavedStates) -> None:
    found: list[SavedState | None] = []

    def second() -> None:
        with states.making("key", soon()):
            found.append(states.find("key"))

    with states.making("key", soon()), states.new("key") as folder:
        waiting = threading.Thread(target=second)
        waiting.start()
        (folder / "memory").write_bytes(b"memory")
        states.keep("key", SavedState(folder, "kv-1", 0.0, 0.0, *KEYS))
    waiting.join(10)
    assert [state and state.name for state in found] == ["kv-1"]


def test_several_use_a_state_at_once_and_nobody_removes_it_meanwhile(states: SavedStates) -> None:
    save(states, "key")
    with states.using("key", soon()) as one, states.using("key", soon()) as other:
        assert one == other
        with pytest.raises(DeadlineExpired):
            states.discard("key", Deadline.after(0, "it is free"))
        assert states.find("key")
    states.discard("key", soon())
    assert states.find("key") is None


def test_least_recently_used_states_leave_when_there_are_too_many(tmp_path: Path) -> None:
    states = SavedStates(tmp_path, 5 * MIB // 2)
    save(states, "old", used_at=1.0)
    save(states, "older", used_at=0.5)
    states.used("older")
    save(states, "new")
    assert list(states.sizes()) == ["older", "new"]
    assert sum(states.sizes().values()) <= states.limit


def test_a_state_in_use_stays_whatever_the_limit_and_so_does_the_newest(tmp_path: Path) -> None:
    states = SavedStates(tmp_path, 1)
    save(states, "used", used_at=1.0)
    with states.using("used", soon()):
        save(states, "new")
    assert set(states.sizes()) == {"used", "new"}


def test_files_that_cannot_come_along_are_no_state(states: SavedStates, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be moved"), states.new("key") as folder:
        move(tmp_path / "nowhere", folder)
    assert states.find("key") is None
    assert abandoned(states.cache) == ()


@given(st.dictionaries(st.text(), st.integers() | st.text(), min_size=1), st.data())
def test_whatever_makes_a_state_another_one_gives_it_another_key(
    made_of: dict[str, int | str], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(made_of)))
    other = {**made_of, name: f"{made_of[name]} and more"}
    assert digest(made_of) != digest(other)
    assert digest(made_of) == digest(dict(reversed(made_of.items())))


def test_limit_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_STATES_SIZE", "512M")
    assert chosen_limit() == 512 * MIB
    monkeypatch.setenv("KDUMP_VERIFY_STATES_SIZE", "banana")
    with pytest.raises(BadInput, match="KDUMP_VERIFY_STATES_SIZE: 'banana' is not a memory size"):
        chosen_limit()


def test_who_only_looks_does_not_keep_others_from_looking_but_from_changing(tmp_path: Path) -> None:
    lock, at_once = tmp_path / "a.lock", Deadline.after(0, "it is free")
    with shared(lock, soon()), shared(lock, soon()), pytest.raises(DeadlineExpired), locked(lock, at_once):
        pass
    with locked(lock, soon()), pytest.raises(DeadlineExpired), shared(lock, at_once):
        pass
