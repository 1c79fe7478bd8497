"""If this kernel panics tonight, will there be a usable vmcore in the morning?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kdump_tests.report.facts import Outcome, RunEnded, Verdict
from kdump_tests.report.foreign import first_line, one_line
from kdump_tests.report.run import GuestStory, Run
from kdump_tests.report.words import NodeId, count

OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "error", "skipped")


@dataclass(frozen=True)
class Answer:
    """One word, and the reason in one line."""

    word: Literal["Yes", "No", "Not known", "probed only", "none can be", "dump server"]
    because: str


def answer(run: Run) -> Answer:
    """What the whole run says."""
    return _judge(run.guests, run.ended)


def answer_for(guest: GuestStory, run: Run) -> Answer:
    """What the run says of one guest; of one from which no dump is due, only what went wrong."""
    if not any(verdict.outcome in {"failed", "error"} for verdict in guest.verdicts):
        if guest.probed_only:
            return Answer("probed only", "its kernel said what it would keep aside, nothing crashed")
        if guest.cannot_dump:
            return Answer("none can be", f"as foreseen: {guest.crashes[-1].foreseen}")
        if kept_for := [boot.keeps_dumps_of for boot in guest.boots if boot.keeps_dumps_of]:
            return Answer("dump server", f"it keeps the dumps of {kept_for[0]}, whose checks judge them")
    return _judge((guest,), run.ended)


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many of each outcome."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return {outcome: outcomes.count(outcome) for outcome in OUTCOMES}


def not_finished(ended: RunEnded | None) -> str:
    """What to say of a run that did not get to its proper end."""
    if ended is None:
        return "the run has not ended: it is still running, or was killed"
    return f"the run ended before its time (exit status {ended.exit_status})"


def _judge(guests: Sequence[GuestStory], ended: RunEnded | None) -> Answer:
    """A failure is a No whatever else happened; a Yes needs all of it: an end, and a vmcore looked into."""
    by_outcome: dict[Outcome, list[Verdict]] = {outcome: [] for outcome in OUTCOMES}
    for guest in guests:
        for verdict in guest.verdicts:
            by_outcome[verdict.outcome].append(verdict)
    passed, failed, errors, skipped = (by_outcome[outcome] for outcome in OUTCOMES)
    crashes = sum(len(guest.crashes) for guest in guests)
    probed = sum(guest.probed_only for guest in guests)
    lost = sum(bool(crash.foreseen) for guest in guests for crash in guest.crashes)
    only = f"; {count(probed, 'tier')} only probed" if probed else ""
    foreseen = f"; {lost} without one, as foreseen" if lost else ""
    vmcores = sum(dump.complete is True for guest in guests for dump in guest.dumps)

    if failed:
        checks = count(len(passed + failed + errors), "check")
        return Answer("No", f"{len(failed)} of {checks} failed, first: {_told(failed[0])}")
    if errors:
        return Answer("Not known", f"the laboratory failed: {_told(errors[0])}")
    if ended is None:
        return Answer("Not known", not_finished(ended))
    if skipped and not passed:
        return Answer("Not known", f"every check was skipped, first: {_told(skipped[0])}")
    if not passed:
        return Answer("Not known", f"nothing was checked (exit status {ended.exit_status})")
    if ended.exit_status != 0:
        return Answer("Not known", not_finished(ended))
    if not vmcores:
        return Answer(
            "Not known", f"{count(len(passed), 'check')} passed, but no complete vmcore was seen{only}"
        )
    without = f" ({len(skipped)} skipped)" if skipped else ""
    return Answer(
        "Yes",
        f"all {count(len(passed), 'check')} passed{without}; "
        f"{count(crashes, 'crash')}, {count(vmcores, 'complete vmcore')}{foreseen}{only}",
    )


def _told(verdict: Verdict) -> str:
    title, message = one_line(str(NodeId.parse(verdict.test))), first_line(verdict.message)
    return f"{title}: {message}" if message else title
