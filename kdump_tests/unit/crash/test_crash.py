"""What a crash says of itself: by its console, else by the dump's own log, and else nothing at all."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from kdump_tests.crash.crash import Crash, Dump, Unseen, _blind_because, _look_afterwards, crash_guest
from kdump_tests.crash.planted import Planted
from kdump_tests.crash.timeline import Event, Timeline
from kdump_tests.crash.trigger import Trigger
from kdump_tests.errors import BadDump, CaptureFailed
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.console import Console, Line
from kdump_tests.guest.facts import KernelFacts
from kdump_tests.guest.machine import Guest
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import DumpDirectory, Phase
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


@pytest.mark.parametrize(
    ("trigger", "ends_with", "because"),
    [
        (Trigger.UNARMED, FinalAction.REBOOT, "unarmed must leave nothing"),
        (Trigger.SYSRQ_C, FinalAction.HALT, "only its console would tell when it is to halt"),
    ],
)
def test_what_only_a_console_would_tell_is_no_reason_to_crash_a_machine_that_has_none(
    guest: Mock, monkeypatch: pytest.MonkeyPatch, trigger: Trigger, ends_with: FinalAction, because: str
) -> None:
    pull = Mock()
    story: dict[str, Mock] = {
        "_prepare": Mock(), "plant": Mock(return_value=PLANTED), "services": Mock(return_value=()),
        "_blind_because": Mock(return_value="there is no console"), "_pull": pull,
    }  # fmt: skip
    for name, answer in story.items():
        monkeypatch.setattr(f"kdump_tests.crash.crash.{name}", answer)
    guest.name, guest.shell = "theirs", Mock(**{"run.return_value": "1700000000"})
    with pytest.raises(Unseen, match=f"{because}.*there is no console"):
        crash_guest(guest, Mock(boot_id="b1"), Mock(ends_with=ends_with), trigger)
    pull.assert_not_called()


def test_dump_of_a_quiet_guest_is_looked_for_where_it_was_sent(
    guest: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, stack = Mock(), Mock()
    sent = DumpDirectory("/srv/dumps/192.0.2.2-202611251200", 0o755, "kdump", ())
    stack.dumps.side_effect = lambda shell, _until: (sent,) if shell is keeper.shell else ()
    taken = Mock(side_effect=BadDump("taken from the dump server"))
    monkeypatch.setattr("kdump_tests.crash.crash._take", taken)
    guest.come_back.return_value = "b2"
    _, after, new, answer = _look_afterwards(
        guest, keeper, stack, Trigger.SYSRQ_C, "it is quiet", (), PLANTED, "b1", 0.0
    )
    assert (after, new, str(answer)) == ("b2", (sent,), "taken from the dump server")
    assert taken.call_args.args[1] is keeper


@pytest.mark.parametrize(
    ("watched", "moment"), [(True, (1020.0, 1060.0)), (False, (1000.0, 1320.0))], ids=["seen", "unseen"]
)
def test_a_panic_that_nobody_saw_may_have_been_at_any_time_until_the_machine_was_back(
    moment: tuple[float, float], *, watched: bool
) -> None:
    line = Line(1, 0.0, "")
    known = ((Phase.TRIGGERED, 0.0), (Phase.PANIC, 40.0), (Phase.REBOOTED, 300.0))
    events = tuple(Event(phase, seconds, line) for phase, seconds in known)
    timeline = Timeline(events, (), None, "console.log" if watched else "", "")
    happened = replace(crash((), BadDump("none")), guest_time=1000, timeline=timeline)
    assert happened.moment == moment


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
