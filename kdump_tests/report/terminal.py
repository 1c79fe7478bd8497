"""The verdicts, for a terminal of 80 columns or a log file that is none."""

import textwrap
from collections.abc import Iterable, Iterator

from kdump_tests.report.answer import answer
from kdump_tests.report.facts import Fact, Verdict
from kdump_tests.report.foreign import one_line
from kdump_tests.report.run import Run
from kdump_tests.report.words import NodeId, seconds

_WIDTH = 80
_BADGE = {"passed": "PASS", "failed": "FAIL", "error": "ERROR", "skipped": "SKIP"}
_CLOSING = {"Yes": "kdump works", "No": "kdump does NOT work", "Not known": "not judged"}


def verdict_table(facts: Iterable[Fact]) -> str:
    """One line per check, grouped by guest, and one sentence that says what it all means."""
    run = Run.of(facts)
    lines: list[str] = []
    for guest in run.guests:
        if guest.verdicts:
            lines += [_crop(one_line(guest.name), _WIDTH) or "no guest", *_rows(guest.verdicts), ""]
    for note in run.notes:
        lines += textwrap.wrap(f"note: {one_line(note.subject)}: {one_line(note.text)}", _WIDTH)
    for guest in run.guests:
        for unread in filter(None, (analysis.not_judged for analysis in guest.analyses)):
            lines += textwrap.wrap(f"not judged of {one_line(guest.name)}: {one_line(unread)}", _WIDTH)
    verdict = answer(run)
    lines += textwrap.wrap(f"{_CLOSING[verdict.word]}: {verdict.because}", _WIDTH)
    return "\n".join(lines)


def _rows(verdicts: Iterable[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        badge, took = f"  {_BADGE[verdict.outcome]:<5}  ", seconds(verdict.seconds)
        room = _WIDTH - len(badge) - len(took) - 2
        name = NodeId.parse(verdict.test)
        # Siblings differ in the parameter only: when something must go, it is the title's end.
        parameter = _crop(one_line(name.parameter), room // 2)
        title = _crop(one_line(name.title), room - len(parameter) - bool(parameter))
        yield f"{badge}{f'{title} {parameter}'.rstrip():<{room}}  {took}"


def _crop(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
