"""What a crash says of itself: by its console, else by the dump's own log, and else nothing at all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from kdump_tests.crash.crash import Crash, Dump, _blind_because, crash_guest
from kdump_tests.crash.planted import Planted
from kdump_tests.crash.timeline import Timeline
from kdump_tests.crash.trigger import Trigger
from kdump_tests.errors import BadDump, CaptureFailed
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.console import Console
from kdump_tests.guest.facts import KernelFacts
from kdump_tests.guest.machine import Guest
from kdump_tests.vmcore.analysis import CrashedTask

NONCE = "kdump-verify nonce 69de8ce9"
PLANTED = Planted(NONCE, b"", 300, 58.0)
PANIC = (
    "[   60.1] Uhhuh. NMI received for unknown reason 30 on CPU 0.",
    "[   60.1] Kernel panic - not syncing: NMI: Not continuing",
    "[   60.1] CPU: 0 PID: 0 Comm: swapper/0 Kdump: loaded Not tainted 6.1.0",
)


def crash(spoken: Sequence[str], dump: Any) -> Crash:
    return Crash(
        guest="story",
        trigger=Trigger.NMI,
        cpu=None,
        kernel=KernelFacts("6.1.0", "00", "", "b1"),
        planted=PLANTED,
        guest_time=0,
        services=(),
        capture_log=(),
        timeline=Timeline((), (), None, "console.log", "", tuple(spoken)),
        boot_id_after="b2",
        new_directories=(),
        log_folder=Path(),
        _dump=dump,
    )


def with_log(*lines: str) -> Dump:
    return cast(Dump, SimpleNamespace(vmcore=SimpleNamespace(kernel_log=lines)))


def test_what_the_console_heard_needs_no_dump() -> None:
    heard = crash(PANIC, CaptureFailed("no dump was saved"))
    assert heard.said.are(Trigger.NMI.value.words)
    assert heard.said == heard.heard


def test_a_kernel_that_died_unheard_is_heard_in_the_dumps_log() -> None:
    unheard = crash((), with_log(f"[   59.0] {NONCE}", *PANIC))
    assert unheard.heard is None
    assert unheard.said.are(Trigger.NMI.value.words)
    assert unheard.said.task == CrashedTask(0, "swapper/0", 0)


def test_a_kernel_that_died_unheard_and_left_no_dump_passes_for_nothing() -> None:
    with pytest.raises(CaptureFailed, match="no dump was saved"):
        _ = crash((), CaptureFailed("no dump was saved")).said


@pytest.mark.parametrize(
    "log", [(), (f"[   59.0] {NONCE}",), PANIC, (*PANIC, f"[   59.0] {NONCE}")], ids=str
)
def test_a_log_without_this_crashs_panic_passes_for_nothing(log: tuple[str, ...]) -> None:
    with pytest.raises(BadDump, match="tells of no panic after this crash's nonce"):
        _ = crash((), with_log(*log)).said


def test_another_panic_is_not_the_one_that_was_asked_for() -> None:
    other = "[   60.1] Kernel panic - not syncing: Fatal exception in interrupt"
    assert not crash((), with_log(NONCE, other)).said.are(Trigger.NMI.value.words)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Mock]:
    """A machine of somebody's, as far as its console goes."""
    console = Console(tmp_path / "console.log")
    guest = Mock(spec=Guest, console=console, has_console=True, root_disk=None)
    type(guest).watched = Guest.watched
    guest.deadline = Accelerator("host", "a story", 1.0).deadline
    yield guest
    console.close()


def test_console_that_shows_what_the_kernel_says_will_tell_of_its_crash(guest: Mock) -> None:
    with guest.console.record.open("a") as record:
        record.write(f"[   12.0] {PLANTED.nonce}\n")
    assert _blind_because(guest, PLANTED, 0) == ""


def test_console_of_a_quiet_kernel_or_of_another_machine_will_not(guest: Mock) -> None:
    with guest.console.record.open("a") as record:
        record.write("[   12.0] kdump-verify nonce of yesterday\nlogin: ")
    guest.deadline = Accelerator("host", "so fast that 30 seconds are none", 0.001).deadline
    assert "shows nothing of what its kernel says" in _blind_because(guest, PLANTED, 0)


def test_console_that_has_ended_will_not_and_where_there_is_none_that_is_said(guest: Mock) -> None:
    guest.console.machine_ended()
    assert _blind_because(guest, PLANTED, 0) == "its console has ended"
    guest.has_console = False
    assert _blind_because(guest, PLANTED, 0) == "there is no console"


@pytest.mark.parametrize(("entered_again", "comes_from"), [("b2", "watching"), (None, "looking afterwards")])
def test_what_a_crash_left_is_taken_once_whenever_its_console_ends(
    guest: Mock, monkeypatch: pytest.MonkeyPatch, entered_again: str | None, comes_from: str
) -> None:
    seen = Timeline((), (), None, "console.log", "", ())
    watched = CaptureFailed("watching")
    looked = CaptureFailed("looking afterwards")
    story: dict[str, object] = {
        "_prepare": None, "plant": PLANTED, "services": (), "_blind_because": "", "_pull": None,
        "_watch": seen, "_harvest": (entered_again, (), watched),
        "_look_afterwards": (seen, "b2", (), looked),
    }  # fmt: skip
    for name, answer in story.items():
        monkeypatch.setattr(f"kdump_tests.crash.crash.{name}", Mock(return_value=answer))
    guest.name, guest.folder, guest.shell = "theirs", Path(), Mock()
    guest.shell.run.return_value = "1700000000"
    guest.console.close()
    happened = crash_guest(guest, Mock(boot_id="b1"), Mock(), Trigger.NMI)
    assert happened.boot_id_after == "b2"
    with pytest.raises(CaptureFailed, match=comes_from):
        _ = happened.dump
