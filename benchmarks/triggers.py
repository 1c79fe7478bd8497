#!/usr/bin/env python3
"""Every trigger on every image: what came of each crash, as the suite's own reports tell it.

    .venv/bin/python benchmarks/triggers.py                        all on debian-12 and debian-13, an hour
    .venv/bin/python benchmarks/triggers.py --image debian-13      on one of them
    .venv/bin/python benchmarks/triggers.py reports/last           nothing is run: of a report that is there

With --record the results are written into benchmarks/TRIGGERS.md; what was not run again keeps its line.
Exit status 1 when a crash did not end as it must.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from results import PROJECT, Line, enter, run_suite

from kdump_tests.crash.trigger import Trigger
from kdump_tests.report.facts import (
    Crash,
    Dump,
    Fact,
    GuestBooted,
    RunEnded,
    RunStarted,
    StepDone,
    Verdict,
    read_facts,
)
from kdump_tests.report.words import NodeId

_TABLE = PROJECT / "benchmarks" / "TRIGGERS.md"
_IMAGES = ("debian-12", "debian-13")
_LONGEST_SECONDS = 7200
_TRIGGERS = {str(trigger): trigger for trigger in Trigger}
# Every crash is asked this, whether it must leave a dump or must not.
_FIRST_CHECK = "test_kernel_panics_for_the_reason_we_gave"
_BACKTRACE = "test_backtrace_leads_through_what_the_trigger_does"
_PREFIX = re.compile(r"^(?:Skipped: )?(?:\S+ cannot be on \S+: )?")
_STAMP = re.compile(r"^\[ *\d+\.\d+\] ")


@dataclass(frozen=True)
class Result(Line):
    """What became of a trigger, as a line of the table."""

    trigger: str
    guest: str
    outcome: str
    said: str
    task: str
    backtrace: str
    seconds: str
    day: str

    @property
    def good(self) -> bool:
        """Whether it ended as it must, or cannot be there."""
        return self.outcome.startswith(("proven", "no dump", "skipped"))


def main() -> int:
    """Run what is asked for or read what there is, tell, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", nargs="*", type=Path, help="a report's folder (default: run the suite)")
    parser.add_argument("--image", action="append", help=f"the guests' (default: {' and '.join(_IMAGES)})")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/TRIGGERS.md")
    options = parser.parse_args()
    results = []
    for result in _read(options.report) if options.report else _run(options.image or _IMAGES):
        results.append(result)
        print(result.as_line, flush=True)
        if options.record:
            image = result.guest.partition(",")[0]
            enter(_TABLE, _head(), f"| {result.trigger} | {image},", result.as_line, list(_TRIGGERS))
    return 0 if results and all(result.good for result in results) else 1


def _run(images: list[str]) -> Iterator[Result]:
    for image in images:
        with tempfile.TemporaryDirectory() as folder:
            chosen = ["--trigger=all", f"--image={image}", "--memory=1G", "-n", "1", f"--reports={folder}"]
            status = run_suite(chosen, _LONGEST_SECONDS)
            report = Path(folder, "last")
            if not report.exists():
                sys.exit(f"{image}: nothing was run (exit status {status})")
            yield from _results(read_facts(report / "results.jsonl"))


def _read(reports: list[Path]) -> Iterator[Result]:
    for report in reports:
        yield from _results(read_facts(report / "results.jsonl"))


def _results(told: tuple[Fact, ...]) -> Iterator[Result]:
    """Of each guest that was to be crashed, once all its checks are over."""
    (started,) = (fact for fact in told if isinstance(fact, RunStarted))
    if not any(isinstance(fact, RunEnded) for fact in told):
        sys.exit(f"run {started.id} did not end: what is missing of it nobody knows")
    verdicts: dict[str, list[Verdict]] = {}
    for fact in told:
        if isinstance(fact, Verdict) and fact.guest:
            verdicts.setdefault(fact.guest, []).append(fact)
    triggers = started.plan["triggers"].split(", ")
    for guest, checks in verdicts.items():
        if any(NodeId.parse(check.test).function == _FIRST_CHECK for check in checks):
            trigger = _trigger_of(guest, triggers)
            yield _result(trigger, guest, checks, [fact for fact in told if _is_of(fact, guest)], started)


def _trigger_of(guest: str, triggers: list[str]) -> str:
    """The first one's guest has no name of its own: it is the one that all other tests look at."""
    first, *others = triggers
    return next((trigger for trigger in others if guest.endswith(f"-{trigger}")), first)


def _is_of(fact: Fact, guest: str) -> bool:
    return guest in {getattr(fact, "guest", None), getattr(fact, "subject", None)}


def _result(trigger: str, guest: str, checks: list[Verdict], told: list[Fact], run: RunStarted) -> Result:
    crash = next((fact for fact in told if isinstance(fact, Crash)), None)
    booted = next((fact for fact in told if isinstance(fact, GuestBooted)), None)
    took = next(
        (fact for fact in told if isinstance(fact, StepDone) and fact.what == f"crashing by {trigger}"), None
    )
    backtrace = any(
        check.outcome == "passed" and NodeId.parse(check.test).function == _BACKTRACE for check in checks
    )
    said = _STAMP.sub("", crash.last_words) if crash else ""
    return Result(
        trigger=trigger,
        guest=f"{run.plan['image']}, Linux {booted.kernel_release}" if booted else run.plan["image"],
        outcome=_outcome(checks, crash, [fact for fact in told if isinstance(fact, Dump)]),
        said=f"{said} (in the {crash.read_in})" if crash and crash.read_in not in {"", "console"} else said,
        task=crash.task if crash else "",
        backtrace=f"through {_TRIGGERS[trigger].value.crashes_in}" if backtrace else "",
        seconds=f"{took.seconds:.0f} s" if took else "",
        day=f"{datetime.fromtimestamp(run.at, UTC):%Y-%m-%d}",
    )


def _outcome(checks: list[Verdict], crash: Crash | None, dumps: list[Dump]) -> str:
    failed = [check for check in checks if check.outcome in {"failed", "error"}]
    passed = sum(check.outcome == "passed" for check in checks)
    if failed:
        return f"FAILED: {', '.join(NodeId.parse(check.test).function for check in failed)}"
    if crash is None:
        reasons = (check.message for check in checks if NodeId.parse(check.test).function == _FIRST_CHECK)
        return f"skipped: {_PREFIX.sub('', next(reasons))}"
    if crash.foreseen:
        return f"no dump, as must be ({crash.foreseen}): {passed} checks"
    if [dump.complete for dump in dumps] == [True]:
        return f"proven: {passed} checks"
    return "FAILED: no complete vmcore, and no check says so"


def _head() -> str:
    return """\
# Triggers, as crashes of real guests left them

`.venv/bin/python benchmarks/triggers.py --record`, guests of 1 GiB with one CPU, or two where the trigger
asks for that.

A line is one crash. *Proven*: the kernel died of what was asked for, in the task and on the CPU that it
must, and left a complete vmcore with the very words that were planted just before; the number is that of all
checks which passed. The backtrace is read where the kernel's debug information is at hand. Times are from
the trigger until the dump was looked into, whatever else the host did. What has no line was not run.

| trigger | guest | outcome | last words | task | backtrace | time | day |
|---|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    raise SystemExit(main())
