"""Cold or forked: what a lab does for a spec when all goes well, and when something does not."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from kdump_tests.errors import GuestNotReached, HypervisorError, NoSpace
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.image import Boot, BuiltImage
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Origin
from kdump_tests.guest.saved_state import SavedState, SavedStates
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB
from kdump_tests.unit.guest.described import built_image

SPEC = GuestSpec("debian-12", GIB, None)
KEYS = KeyPair("public", "private"), KeyPair("public", "private")


def guest_of(origin: Origin) -> Any:
    made = Mock(origin=origin, origin_because="")
    made.console.closed = False
    return made


@dataclass
class Story:
    """A lab whose machines are made of nothing: what it decides is real, and so are its saved states."""

    lab: Lab
    states: SavedStates
    is_armed: bool = True
    settled: list[Any] = field(default_factory=list)
    booted: list[Any] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    restoring_fails: Exception | None = None
    saving_fails: Exception | None = None

    def boot(self, _stack: object, _spec: object, _image: object, _folder: object, because: str) -> Any:
        guest = guest_of(Origin.COLD_BOOT)
        guest.origin_because = because
        self.booted.append(guest)
        return Mock(guest=guest)

    def restore(self, _stack: object, state: SavedState, *_: object) -> Any:
        if self.restoring_fails:
            raise self.restoring_fails
        self.restored.append(state.name)
        return guest_of(Origin.FORK)

    def save(self, states: SavedStates, key: str, seat: Any) -> None:
        if self.saving_fails:
            raise self.saving_fails
        with states.new(key) as folder:
            (folder / "memory").write_bytes(b"memory")
            states.keep(key, SavedState(folder, "kv-saved", 0.0, 40.0, *KEYS))

    def armed(self, guest: Any) -> bool:
        self.settled.append(guest)
        return self.is_armed

    def guest(self, spec: GuestSpec = SPEC, image: BuiltImage | None = None) -> Any:
        with self.lab.guest(spec, image or built_image(), Path("/nowhere"), self.armed) as guest:
            return guest

    @property
    def kept(self) -> bool:
        return self.states.find("key") is not None


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    states = SavedStates(tmp_path, GIB)
    hypervisor = Mock()
    hypervisor.has.return_value = False
    lab = Lab(Mock(folder=tmp_path), hypervisor, Accelerator("tcg", "a story", 1.0), states)
    story = Story(lab, states)
    replaced: dict[str, Callable[..., Any]] = {
        "_boot": story.boot, "_restore": story.restore, "_save": story.save, "_made_of": lambda *_: {},
    }  # fmt: skip
    for name, told in replaced.items():
        monkeypatch.setattr(lab, name, told)
    monkeypatch.setattr("kdump_tests.guest.lab.digest", lambda _made_of: "key")
    monkeypatch.setattr("kdump_tests.guest.lab.require_space", lambda *_: None)
    return story


def test_machine_that_starts_by_uefi_is_not_saved_as_libvirt_would_die_of_its_state(story: Story) -> None:
    image = built_image()
    by_itself = replace(image, image=image.image.model_copy(update={"boot": Boot(), "stack": "auto"}))
    guest = story.guest(replace(SPEC, firmware="uefi"), by_itself)
    assert (guest.origin, guest.origin_because) == (Origin.COLD_BOOT, "it starts by UEFI")
    assert story.settled == [guest]
    assert not story.kept


def test_first_guest_boots_cold_once_and_all_are_forks(story: Story) -> None:
    assert [story.guest().origin for _ in range(3)] == [Origin.FORK] * 3
    assert (len(story.booted), len(story.settled), len(story.restored)) == (1, 1, 3)


def test_kdump_that_is_not_armed_is_not_frozen(story: Story) -> None:
    story.is_armed = False
    guest = story.guest()
    assert guest is story.booted[0]
    assert guest.origin_because == "kdump is not armed after a cold boot, so no state was saved"
    assert not story.kept


def test_guest_that_cannot_be_saved_is_the_guest(story: Story) -> None:
    story.saving_fails = NoSpace("not enough disk space")
    guest = story.guest()
    assert guest is story.booted[0]
    assert guest.origin_because == "it could not be saved: not enough disk space"
    guest.shell.connect.assert_called_once()
    assert not story.kept


def test_guest_that_dies_as_it_is_saved_is_replaced(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_states: object, _key: str, seat: Any) -> None:
        seat.guest.console.closed = True
        raise HypervisorError("gone")

    monkeypatch.setattr(story.lab, "_save", dies)
    guest = story.guest()
    assert guest is story.booted[1]
    assert guest.origin_because == "its saved state is gone"
    assert story.settled == story.booted


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (HypervisorError("no start", reason="libvirt: bad magic"), "no start: libvirt: bad magic"),
        (GuestNotReached("SSH does not come up"), "SSH does not come up"),
    ],
)  # fmt: skip
def test_state_that_does_not_restore_is_thrown_away(story: Story, fault: Exception, told: str) -> None:
    story.guest()
    story.restoring_fails = fault
    guest = story.guest()
    assert (guest.origin, guest.origin_because) == (
        Origin.COLD_BOOT, f"its saved state was thrown away: {told}",
    )  # fmt: skip
    assert not story.kept
    assert story.settled[-1] is guest


def test_one_libvirt_runs_one_guest_of_a_state_and_the_state_stays(story: Story) -> None:
    story.guest()
    story.lab.hypervisor.has.return_value = True  # type: ignore[attr-defined]
    guest = story.guest()
    assert guest.origin_because == "another guest of the same saved state runs on this libvirt"
    assert story.kept


def test_damaged_state_is_made_anew_and_that_is_told(story: Story) -> None:
    story.guest()
    (story.states._folder("key") / "memory").write_bytes(b"mem")
    guest = story.guest()
    assert guest.origin is Origin.FORK
    assert guest.origin_because.endswith("; the one found before was damaged")
    assert len(story.booted) == 2


def test_without_states_every_guest_boots_and_is_settled(story: Story) -> None:
    story.lab.states = None
    guest = story.guest()
    assert (guest.origin_because, story.settled, story.kept) == ("asked for", [guest], False)
