"""The one sentence a run comes to: a Yes has to be earned."""

from dataclasses import replace

import pytest

from kdump_tests.report import words
from kdump_tests.report.answer import Answer, answer, answer_for
from kdump_tests.report.facts import Fact, RunEnded
from kdump_tests.report.junit import junit
from kdump_tests.report.page import render_page
from kdump_tests.report.run import Run
from kdump_tests.report.terminal import verdict_table
from kdump_tests.unit.report.runs import (
    AT,
    BOOTED,
    CRASH,
    DUMP,
    ENDED,
    ERROR,
    FAILED,
    GOOD_RUN,
    PASSED,
    SKIPPED,
    STARTED,
    STEP,
)
from kdump_tests.unit.report.stories import ANALYSIS, PROBE_PASSED, PROBED, TIERS

PROBE_FAILED = replace(PROBE_PASSED, outcome="failed")


def said_of(*facts: Fact) -> Answer:
    return answer(Run.of(facts))


def test_a_good_run_is_a_yes() -> None:
    assert said_of(*GOOD_RUN) == Answer("Yes", "all 1 check passed; 1 crash, 1 complete vmcore")


def test_what_was_not_judged_is_told_on_the_terminal_too() -> None:
    unread = replace(ANALYSIS, guest=DUMP.guest, not_judged="the tasks: no vmlinux was found")
    said = verdict_table([*GOOD_RUN[:-1], unread, ENDED])
    assert f"not judged of {DUMP.guest}: the tasks: no vmlinux was found" in said.splitlines()
    assert said_of(*GOOD_RUN[:-1], unread, ENDED).word == "Yes"


def test_a_failure_is_a_no_with_its_reason() -> None:
    said = said_of(STARTED, CRASH, DUMP, PASSED, FAILED, replace(ENDED, exit_status=1))
    assert said == Answer("No", "1 of 2 checks failed, first: dump is saved: CaptureFailed: no dump")


def test_a_failure_is_a_no_also_in_a_run_that_was_killed() -> None:
    assert said_of(STARTED, ERROR, FAILED).word == "No"


@pytest.mark.parametrize(
    ("facts", "because"),
    [
        ((DUMP, PASSED, ERROR, ENDED), "the laboratory failed: it boots: GuestLost: it is gone"),
        ((DUMP, PASSED), "the run has not ended: it is still running, or was killed"),
        ((DUMP, PASSED, RunEnded(AT, 2, 1.0)), "the run ended before its time (exit status 2)"),
        ((ENDED,), "nothing was checked (exit status 0)"),
        ((SKIPPED, ENDED), "every check was skipped, first: it reboots: not judged: see above"),
        ((PASSED, ENDED), "1 check passed, but no complete vmcore was seen"),
        ((replace(DUMP, complete=None), PASSED, ENDED), "1 check passed, but no complete vmcore was seen"),
        ((replace(DUMP, complete=False), PASSED, ENDED), "1 check passed, but no complete vmcore was seen"),
    ],
)
def test_what_was_not_seen_is_not_known(facts: tuple[Fact, ...], because: str) -> None:
    assert said_of(STARTED, *facts) == Answer("Not known", because)


def test_a_tier_that_was_only_probed_takes_no_yes_away_and_is_told_of() -> None:
    said = said_of(*TIERS)
    assert said == Answer("Yes", "all 2 checks passed; 1 crash, 1 complete vmcore; 1 tier only probed")


def test_a_crash_that_cannot_be_dumped_takes_no_yes_away_and_is_told_of() -> None:
    lost = replace(CRASH, guest="other", foreseen="no capture kernel took over")
    run = Run.of([*GOOD_RUN[:-1], lost, replace(PASSED, guest="other"), ENDED])
    assert answer(run).because == (
        "all 2 checks passed; 2 crashes, 1 complete vmcore; 1 without one, as foreseen"
    )
    assert [answer_for(guest, run).word for guest in run.guests] == ["Yes", "none can be"]


def test_crashes_that_cannot_be_dumped_are_no_yes_alone() -> None:
    lost = replace(CRASH, foreseen="no capture kernel took over")
    assert said_of(STARTED, lost, PASSED, ENDED).word == "Not known"


def test_probing_alone_is_no_yes() -> None:
    said = said_of(STARTED, PROBED, PROBE_PASSED, ENDED)
    assert said == Answer("Not known", "1 check passed, but no complete vmcore was seen; 1 tier only probed")


def test_a_probed_tier_that_fails_is_a_no() -> None:
    assert said_of(*TIERS[:-1], PROBE_FAILED, replace(ENDED, exit_status=1)).word == "No"


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ((PROBED, PROBE_PASSED, ENDED), "probed only"),
        ((PROBED, PROBE_PASSED), "probed only"),
        ((PROBED, replace(PROBE_PASSED, outcome="skipped"), ENDED), "probed only"),
        ((PROBED, PROBE_PASSED, PROBE_FAILED, ENDED), "No"),
        ((PROBED, replace(PROBE_PASSED, outcome="error"), ENDED), "Not known"),
    ],
)
def test_a_guest_that_never_ran_is_not_asked_for_a_vmcore(facts: tuple[Fact, ...], word: str) -> None:
    run = Run.of(facts)
    assert [answer_for(guest, run).word for guest in run.guests] == [word]


def test_a_dump_server_is_not_asked_for_a_vmcore_of_its_own() -> None:
    server = replace(BOOTED, guest="server", keeps_dumps_of=BOOTED.guest)
    run = Run.of([*GOOD_RUN[:-1], server, ENDED])
    assert [answer_for(guest, run).word for guest in run.guests] == ["Yes", "dump server"]
    assert answer(run).word == "Yes"


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (GOOD_RUN, "kdump works: all 1 check passed; 1 crash, 1 complete vmcore"),
        ((STARTED, FAILED), "kdump does NOT work: 1 of 1 check failed"),
        ((STARTED, ERROR), "not judged: the laboratory failed"),
    ],
)
def test_the_terminal_ends_with_the_sentence(facts: tuple[Fact, ...], sentence: str) -> None:
    _, _, last = verdict_table(facts).rpartition("\n\n")
    assert " ".join(last.split()).startswith(sentence)


def test_the_table_has_a_line_per_check_below_its_guest() -> None:
    guest, *rows, _, _ = verdict_table([STARTED, PASSED, FAILED, ERROR, SKIPPED, ENDED]).split("\n")[:7]
    assert guest == "debian-13-2G"
    assert [row.split()[0] for row in rows] == ["PASS", "FAIL", "ERROR", "SKIP"]
    assert rows[0] == "  PASS   vmcore is complete [debian-13-2G]".ljust(74) + "0.02 s"


@pytest.mark.parametrize("name", ["x" * 200, f"x[{'y' * 200}]", f"{'x' * 200}[{'y' * 200}]"])
def test_long_names_stay_on_their_line_of_80_columns(name: str) -> None:
    _, row, *_ = verdict_table([replace(PASSED, test=f"t.py::test_{name}")]).split("\n")
    assert len(row) == 80
    assert row.endswith("  0.02 s")


def test_the_page_of_a_killed_run_says_so() -> None:
    page = render_page(GOOD_RUN[:-1])
    assert "<b>Running or killed.</b>" in page
    assert f"Last step done: {STEP.subject}: booting" in page
    assert "<strong>Not known</strong>" in page


def test_the_page_of_a_run_that_ended_says_nothing_of_the_kind() -> None:
    page = render_page(GOOD_RUN)
    assert "killed" not in page
    assert "<strong>Yes</strong>" in page


def test_ci_does_not_take_a_killed_run_for_a_green_one() -> None:
    assert b"has not ended" in junit(GOOD_RUN[:-1])
    assert b"<error" in junit(GOOD_RUN[:-1])
    assert b"<error" not in junit(GOOD_RUN)


@pytest.mark.parametrize("crash_time", [10**17, -(10**17), 2**70])
def test_a_dump_of_no_year_that_was_ever_does_not_break_the_page(crash_time: int) -> None:
    assert f"{crash_time} seconds since 1970" in render_page([replace(DUMP, crash_time=crash_time)])


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0.0, "0.00 s"), (0.994, "0.99 s"), (0.996, "1.0 s"), (59.96, "1 min 00 s"), (252, "4 min 12 s"),
     (3599.7, "1 h 00 min"), (3840, "1 h 04 min")],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(duration: float, text: str) -> None:
    assert words.seconds(duration) == text


@pytest.mark.parametrize(
    ("node_id", "classname", "title", "parameter"),
    [
        ("a/test_b.py::test_it_is[x::y]", "a.test_b", "it is", "[x::y]"),
        ("a/test_b.py::TestC::test_it", "a.test_b.TestC", "it", ""),
        ("a/test_b.py", "a.test_b", "a/test_b.py", ""),
        ("laboratory", "laboratory", "laboratory", ""),
    ],
)
def test_a_node_id_has_parts(node_id: str, classname: str, title: str, parameter: str) -> None:
    parsed = words.NodeId.parse(node_id)
    assert (parsed.classname, parsed.title, parsed.parameter) == (classname, title, parameter)
