"""A crash as its console tells it: how far it got, by which line, and why no further."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.crash.timeline import PATIENCE, Fault, Timeline, unseen
from kdump_tests.crash.trigger import Trigger
from kdump_tests.errors import CaptureFailed, GuestLost
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.stack import Phase
from kdump_tests.unit.crash.serial import GOOD, Serial, good_after, good_until

HERE = Path(__file__).parent
MAKEDUMPFILE_FAILED = "[   30.105919] kdump-tools[272]: makedumpfile Failed."
OUT_OF_MEMORY = (
    "[    1.804001] Out of memory and no killable processes...",
    "[    1.805002] Kernel panic - not syncing: System is deadlocked on memory",
    "[    1.806003] Rebooting in 10 seconds..",
)
HANGS = "[   88.9] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---"
COPYING = "Copying data                                      : [{:5.1f} %] |           eta: 4m9s"


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Serial]:
    serial = Serial(tmp_path / "console.log")
    yield serial
    serial.console.close()


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Serial]:
    """Of a machine that sends its dump over SSH."""
    serial = Serial(tmp_path / "console.log", Debian().configured({"SSH": "kdump@dump-server"}).markers)
    yield serial
    serial.console.close()


def phases(timeline: Timeline) -> list[Phase]:
    return [event.phase for event in timeline.events]


def faults(timeline: Timeline) -> list[str]:
    return [fault.what for fault in timeline.faults]


def failure(timeline: Timeline, phase: Phase) -> CaptureFailed:
    with pytest.raises(CaptureFailed) as caught:
        timeline.require(phase)
    return caught.value


def test_every_phase_of_a_real_good_crash_is_reached_in_order(serial: Serial) -> None:
    timeline = serial.plays(HERE / "debian-13-good.console")
    assert phases(timeline) == list(Phase)
    assert timeline.faults == ()


def test_a_real_crash_with_a_full_disk_saves_nothing_whatever_is_claimed(serial: Serial) -> None:
    timeline = serial.plays(HERE / "debian-12-full-disk.console")
    missed = {Phase.DMESG_SAVED, Phase.DUMP_SAVED}
    assert set(Phase) - set(phases(timeline)) == missed
    assert {fault.prevented for fault in timeline.faults} == missed


def test_a_full_disk_is_told_by_the_line_of_the_part_that_is_missing(serial: Serial) -> None:
    timeline = serial.plays(HERE / "debian-12-full-disk.console")
    log, dump = failure(timeline, Phase.DMESG_SAVED), failure(timeline, Phase.DUMP_SAVED)
    assert log.message.endswith("could not save the kernel log")
    assert log.facts["decisive line"] == "[   29.699231] kdump-tools[269]: makedumpfile Failed."
    assert dump.message.endswith("could not save the dump")
    assert dump.facts["decisive line"] == MAKEDUMPFILE_FAILED


def test_a_good_crash_ends_with_the_login_and_asks_for_no_more(serial: Serial) -> None:
    timeline = serial.tells(*GOOD.values(), HANGS)
    assert timeline.phase is Phase.LOGIN
    assert faults(timeline) == []
    assert len(serial.asked) == len(Phase) + 1  # one more for the crash as a whole


def test_a_phase_is_proven_by_its_line_and_the_time_since_the_trigger(serial: Serial) -> None:
    timeline = serial.tells(*GOOD.values())
    assert timeline.line(Phase.DUMP_SAVED) == GOOD[Phase.DUMP_SAVED]
    seconds = [event.seconds for event in timeline.events]
    assert seconds == sorted(seconds)


def test_without_a_capture_kernel_the_machine_hangs_after_its_panic(serial: Serial) -> None:
    timeline = serial.falls_silent_after(*good_until(Phase.PANIC), HANGS)
    assert faults(timeline) == ["no capture kernel took over and the machine hangs"]
    error = failure(timeline, Phase.CAPTURE_KERNEL)
    assert error.facts["phase reached"].startswith("panic (+")
    assert error.facts["decisive line"] == HANGS


def test_a_reboot_without_a_capture_is_no_capture(serial: Serial) -> None:
    timeline = serial.tells(*good_until(Phase.PANIC), GOOD[Phase.REBOOTED], GOOD[Phase.LOGIN])
    assert phases(timeline)[-2:] == [Phase.REBOOTED, Phase.LOGIN]
    assert faults(timeline) == ["no capture kernel took over, the machine rebooted"]
    assert failure(timeline, Phase.CAPTURE_KERNEL).facts["decisive line"] == GOOD[Phase.REBOOTED]


def test_what_an_ordinary_boot_prints_is_no_sign_of_a_capture(serial: Serial) -> None:
    claims = [GOOD[Phase.TARGET_MOUNTED], GOOD[Phase.DUMP_STARTED], GOOD[Phase.DUMP_SAVED]]
    timeline = serial.tells(*good_until(Phase.PANIC), GOOD[Phase.REBOOTED], *claims, GOOD[Phase.LOGIN])
    assert phases(timeline) == [Phase.TRIGGERED, Phase.PANIC, Phase.REBOOTED, Phase.LOGIN]


def test_nothing_of_a_capture_counts_before_the_capture_kernel_started(serial: Serial) -> None:
    timeline = serial.tells(*good_until(Phase.PANIC), GOOD[Phase.DUMP_SAVED])
    assert phases(timeline) == [Phase.TRIGGERED, Phase.PANIC]


def test_a_capture_kernel_out_of_memory_is_told_by_its_own_panic(serial: Serial) -> None:
    started = good_until(Phase.CAPTURE_KERNEL)
    timeline = serial.tells(*started, *OUT_OF_MEMORY, GOOD[Phase.REBOOTED], GOOD[Phase.LOGIN])
    error = failure(timeline, Phase.DUMP_SAVED)
    assert error.message == "dump saved: never reached; the capture kernel panicked too"
    assert error.facts["phase reached"].startswith("capture kernel started (+")
    assert error.facts["decisive line"] == OUT_OF_MEMORY[1]
    assert error.facts["console"] == serial.place_of("deadlocked on memory")
    assert timeline.phase is Phase.LOGIN


def test_a_capture_kernel_that_panics_and_hangs_ends_the_reading(serial: Serial) -> None:
    started = good_until(Phase.CAPTURE_KERNEL)
    timeline = serial.falls_silent_after(*started, *OUT_OF_MEMORY[:2], HANGS)
    assert faults(timeline)[-1] == "the capture kernel panicked too and the machine hangs"


def test_a_saved_dump_counts_for_nothing_when_makedumpfile_failed(serial: Serial) -> None:
    told = [*good_until(Phase.DUMP_STARTED), MAKEDUMPFILE_FAILED, *good_after(Phase.DUMP_STARTED)]
    timeline = serial.tells(*told)
    assert not timeline.reached(Phase.DUMP_SAVED)
    assert timeline.phase is Phase.LOGIN
    error = failure(timeline, Phase.DUMP_SAVED)
    assert error.message == "dump saved: never reached; the capture environment could not save the dump"
    assert error.facts["decisive line"] == MAKEDUMPFILE_FAILED
    assert error.facts["console"] == serial.place_of("makedumpfile Failed.")


def test_a_kernel_log_that_was_not_saved_does_not_stand_in_the_way_of_the_dump(serial: Serial) -> None:
    told = [*good_until(Phase.TARGET_MOUNTED), MAKEDUMPFILE_FAILED, *good_after(Phase.TARGET_MOUNTED)]
    timeline = serial.tells(*told)
    assert timeline.reached(Phase.DUMP_SAVED)
    assert not timeline.reached(Phase.DMESG_SAVED)
    assert faults(timeline) == ["the capture environment could not save the kernel log"]


@pytest.mark.parametrize("words", [MAKEDUMPFILE_FAILED, "[   24.685884] kdump-tools[281]: Killed"])
def test_a_failed_dump_is_followed_until_the_machine_is_back(serial: Serial, words: str) -> None:
    ending = [GOOD[Phase.FINAL_ACTION], GOOD[Phase.REBOOTED], GOOD[Phase.LOGIN]]
    timeline = serial.tells(*good_until(Phase.DUMP_STARTED), words, *ending)
    assert faults(timeline) == ["the capture environment could not save the dump"]
    assert phases(timeline)[-3:] == [Phase.FINAL_ACTION, Phase.REBOOTED, Phase.LOGIN]


def test_what_fails_after_the_reboot_is_not_of_the_capture(serial: Serial) -> None:
    told = [*good_until(Phase.REBOOTED), MAKEDUMPFILE_FAILED, GOOD[Phase.LOGIN]]
    assert faults(serial.tells(*told)) == []


def test_a_skipped_phase_is_not_reached_though_later_ones_are(serial: Serial) -> None:
    told = [*good_until(Phase.CAPTURE_KERNEL), *good_after(Phase.TARGET_MOUNTED)]
    timeline = serial.tells(*told)
    assert timeline.phase is Phase.LOGIN
    assert not timeline.reached(Phase.TARGET_MOUNTED)
    assert failure(timeline, Phase.TARGET_MOUNTED).message == "target mounted: never reached"


def test_a_phase_does_not_come_after_its_time(serial: Serial) -> None:
    timeline = serial.tells(*good_until(Phase.DUMP_SAVED), GOOD[Phase.DMESG_SAVED], GOOD[Phase.PANIC])
    assert timeline.phase is Phase.DUMP_SAVED


@pytest.mark.parametrize("phase", PATIENCE)
def test_silence_ends_the_reading_and_names_the_phase(serial: Serial, phase: Phase) -> None:
    timeline = serial.falls_silent_after(*good_until(phase))
    (silence,) = faults(timeline)
    assert silence.startswith("nothing decisive was printed for ")
    assert silence.endswith(f"after {phase.value!r}")
    assert timeline.phase is phase


@pytest.mark.parametrize("phase", PATIENCE)
def test_the_end_of_the_machine_ends_the_reading_and_names_the_phase(serial: Serial, phase: Phase) -> None:
    assert faults(serial.tells(*good_until(phase))) == [f"the machine ended after {phase.value!r}"]


def test_chatter_earns_no_patience(serial: Serial) -> None:
    chatter = [f"[   50.{number:06}] kdump-tools[305]: thinking" for number in range(1000)]
    serial.falls_silent_after(*good_until(Phase.DUMP_STARTED), *chatter)
    assert serial.asked.count("the crash goes on from 'dump started'") == 1


def test_progress_of_the_dump_renews_patience(serial: Serial) -> None:
    progress = [COPYING.format(percent) for percent in (0.2, 50.0, 100.0)]
    serial.falls_silent_after(*good_until(Phase.DUMP_STARTED), *progress)
    assert serial.asked.count("the crash goes on from 'dump started'") == 4


def test_a_dump_server_that_refuses_is_one_fault_however_often_it_is_asked(sending: Serial) -> None:
    refusal = "[   40.1] kdump-tools[305]: kdump@dump-server: Permission denied (publickey)."
    gives_up = "[   90.1] kdump-tools[305]: Unable to reach remote server kdump@dump-server; can't continue"
    ending = [GOOD[Phase.FINAL_ACTION], GOOD[Phase.REBOOTED], GOOD[Phase.LOGIN]]
    timeline = sending.tells(*good_until(Phase.CAPTURE_KERNEL), *[refusal] * 16, gives_up, *ending)
    assert faults(timeline) == ["the capture environment could not reach the dump target"]
    for missing in (Phase.DMESG_SAVED, Phase.DUMP_SAVED):
        assert failure(timeline, missing).facts["decisive line"] == refusal
    assert timeline.phase is Phase.LOGIN


def test_the_way_to_a_dump_server_renews_patience(sending: Serial) -> None:
    waits = "[**    ] Job systemd-networkd-wait-online.service/start running ({} / no limit)"
    way = [
        *map(waits.format, ("18s", "1min 56s")),
        waits.format("2min 3s"),  # longer than it takes: no sign of life any more
        "[  OK  ] Reached target local-fs.target - Local File Systems.",
        "[  OK  ] Reached target network-online.target - Network is Online.",
        "[   50.1] kdump-tools[305]: Network not reachable; will try 15 more times.",
    ]
    timeline = sending.falls_silent_after(*good_until(Phase.CAPTURE_KERNEL), *way)
    assert sending.asked.count("the crash goes on from 'capture kernel started'") == 6
    assert timeline.phase is Phase.CAPTURE_KERNEL


def test_a_crash_has_an_end_however_patient_its_phases_are(serial: Serial) -> None:
    serial.prints(good_until(Phase.DUMP_STARTED))
    begun = time.monotonic()
    timeline = serial.read(patience=60, patience_in_all=0.05)
    assert time.monotonic() - begun < 30
    assert faults(timeline)[0].endswith("after 'dump started'")


def test_a_dump_that_stops_tells_how_far_it_came(serial: Serial) -> None:
    progress = [COPYING.format(percent) for percent in (0.2, 42.5)]
    timeline = serial.falls_silent_after(*good_until(Phase.DUMP_STARTED), *progress)
    assert failure(timeline, Phase.DUMP_SAVED).facts["makedumpfile was at"] == "42.5 %"


def test_progress_before_the_dump_renews_nothing(serial: Serial) -> None:
    serial.falls_silent_after(*good_until(Phase.CAPTURE_KERNEL), COPYING.format(1.0), COPYING.format(2.0))
    assert serial.asked.count("the crash goes on from 'capture kernel started'") == 1


@pytest.mark.parametrize("line", [GOOD[Phase.PANIC], GOOD[Phase.CAPTURE_KERNEL], GOOD[Phase.REBOOTED]])
def test_a_panic_or_reboot_before_the_trigger_is_the_laboratorys_fault(serial: Serial, line: str) -> None:
    with pytest.raises(GuestLost, match="before it was told to") as caught:
        serial.tells(line)
    assert caught.value.facts["decisive line"] == line


def test_a_trigger_that_does_nothing_leaves_no_event(serial: Serial) -> None:
    assert serial.falls_silent_after("[   88.1] kdump-verify nonce 69de8ce9").events == ()


def test_a_failure_without_a_decisive_line_shows_the_last_ones(serial: Serial) -> None:
    timeline = serial.falls_silent_after(*good_until(Phase.CAPTURE_KERNEL), "[    9.9] dracut: waiting")
    error = failure(timeline, Phase.TARGET_MOUNTED)
    assert "[    9.9] dracut: waiting" in error.facts["last lines"]
    assert "decisive line" not in error.facts
    assert error.facts["console"] == str(serial.console.record)


def test_to_require_a_reached_phase_raises_nothing(serial: Serial) -> None:
    serial.tells(*GOOD.values()).require(Phase.DUMP_SAVED)


def test_every_phase_but_the_last_has_a_patience() -> None:
    assert list(PATIENCE) == list(Phase)[:-1]


@pytest.mark.parametrize(
    "line",
    [
        "(initramfs) ",
        'You are in emergency mode. After logging in, type "journalctl -xb"',
        "Give root password for maintenance",
    ],
)
def test_a_capture_that_waits_for_a_person_ends_at_that_line(serial: Serial, line: str) -> None:
    timeline = serial.tells(*good_until(Phase.CAPTURE_KERNEL), line)
    assert faults(timeline) == ["the capture environment waits for a person at its console"]
    assert timeline.faults[0].fatal
    assert failure(timeline, Phase.TARGET_MOUNTED).facts["decisive line"] == line.strip()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[    9.1] Kernel panic - not syncing: VFS: Unable to mount root fs", "panics as it boots again"),
        ("You are in emergency mode.", "waits for a person at its console"),
    ],
)
def test_a_machine_that_does_not_boot_again_is_not_waited_for(serial: Serial, line: str, what: str) -> None:
    timeline = serial.tells(*good_until(Phase.REBOOTED), line)
    assert timeline.phase is Phase.REBOOTED
    assert timeline.faults[0].fatal
    assert what in faults(timeline)[0]


def test_a_kernel_that_dies_unheard_is_followed_where_that_was_to_be_expected(serial: Serial) -> None:
    timeline = serial.tells(*good_after(Phase.PANIC), trigger=Trigger.NMI)
    assert phases(timeline)[0] is Phase.CAPTURE_KERNEL
    assert faults(timeline) == []
    assert timeline.spoken == ()


def test_a_panic_that_nothing_announces_begins_the_crash_if_it_is_the_one_asked_for(serial: Serial) -> None:
    killed = "[   60.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000"
    timeline = serial.tells(killed, *good_after(Phase.PANIC), trigger=Trigger.KILLED_INIT)
    assert phases(timeline) == list(Phase)[1:]


def test_another_panic_than_the_unannounced_one_is_the_laboratorys_fault(serial: Serial) -> None:
    with pytest.raises(GuestLost, match="before it was told to"):
        serial.tells("Kernel panic - not syncing: VFS: Unable to mount", trigger=Trigger.KILLED_INIT)


def test_an_oops_that_kdump_takes_over_from_is_a_panic(serial: Serial) -> None:
    oops = (
        "[   60.1] BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "[   60.1] Oops: 0002 [#1] PREEMPT SMP NOPTI",
        "[   60.1] CPU: 0 PID: 312 Comm: insmod Kdump: loaded Tainted: G",
    )
    timeline = serial.tells(*oops, *good_after(Phase.PANIC), trigger=Trigger.NULL_DEREFERENCE)
    assert phases(timeline) == list(Phase)
    assert timeline.spoken == oops


def test_what_is_kept_of_a_dying_kernel_has_an_end(serial: Serial) -> None:
    timeline = serial.tells(GOOD[Phase.TRIGGERED], *("[   88.3] and on" for _ in range(5000)))
    assert len(timeline.spoken) == 2000


def test_a_crash_that_nobody_watched_says_by_whom_its_phases_are_told() -> None:
    proofs = [
        (Phase.TRIGGERED, "the machine stopped"),
        (Phase.PANIC, "Kernel panic - not syncing: sysrq triggered crash"),
        (Phase.REBOOTED, "boot b after a"),
    ]
    timeline = unseen(proofs, 77.0, (Fault("nothing that was left proves a capture", None),), "it is dark")
    assert [event.seconds for event in timeline.events] == [0.0, 0.0, 77.0]
    timeline.require(Phase.REBOOTED)
    assert not timeline.watched
    facts = failure(timeline, Phase.DUMP_SAVED).facts
    assert facts["phases by"] == "what the crash left, as it is dark"
    assert "console" not in facts


SAVED = [(Phase.DMESG_SAVED, "it holds the log"), (Phase.DUMP_SAVED, "it holds a complete vmcore")]


def test_words_that_the_console_lost_are_made_up_for_by_what_was_left(serial: Serial) -> None:
    told = {phase: line for phase, line in GOOD.items() if phase is not Phase.DUMP_SAVED}
    timeline = serial.tells(*told.values()).supplemented(SAVED)
    assert phases(timeline) == list(Phase)
    timeline.require(Phase.DUMP_SAVED)
    assert [(each.phase, each.line.text) for each in timeline.events if each.inferred] == SAVED[1:]
    by_phase = {event.phase: event.seconds for event in timeline.events}
    assert by_phase[Phase.DUMP_SAVED] == by_phase[Phase.FINAL_ACTION]


def test_what_was_prevented_or_nothing_came_after_is_not_made_up_for(serial: Serial) -> None:
    full = serial.plays(HERE / "debian-12-full-disk.console")
    assert full.supplemented(SAVED) == full


@pytest.mark.parametrize("last", [Phase.PANIC, Phase.DUMP_STARTED])
def test_a_crash_that_stops_is_not_told_further(serial: Serial, last: Phase) -> None:
    timeline = serial.tells(*good_until(last))
    assert phases(timeline.supplemented(SAVED)) == phases(timeline)
