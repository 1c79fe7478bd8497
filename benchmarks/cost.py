#!/usr/bin/env python3
"""What the main job costs: its wall time, its own share of a crash cycle, its memory.

    .venv/bin/python benchmarks/cost.py            the image is there: a second run
    .venv/bin/python benchmarks/cost.py --cold     from an empty cache: builds the image too

Prints a table and, with --record, writes it into benchmarks/RESULTS.md. Ratios are within one run: the
suite's share is the time from the last console line that the verdict needs to the verdict, against the
time from the trigger to that line.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from results import PROJECT, Row, record, table

from kdump_tests.report.facts import Accelerator, Crash, StepDone, Verdict, read_facts

LARGEST_SHARE = 0.03
LARGEST_MEMORY = 200 * 2**20


@dataclass(frozen=True)
class Cost:
    """One measured run. Times in seconds, memory in bytes."""

    cold: bool
    wall: float
    cycle: float
    own: float
    memory: tuple[int, ...]
    accelerator: str
    checks: int

    def rows(self) -> list[Row]:
        """What was measured, its value, and what was promised."""
        how = "from an empty cache" if self.cold else "again"
        return [
            Row(
                f"scripts/verify {how}, {self.checks} checks, {self.accelerator}",
                f"{self.wall:.0f} s",
                "under 600 s" if self.cold else "under 150 s",
            ),
            Row("crash cycle: trigger to the last needed console line", f"{self.cycle:.1f} s"),
            Row("from there to the verdict", f"{self.own:.2f} s"),
            Row(
                "the suite's share of the cycle",
                f"{self.own / self.cycle:.1%}",
                f"at most {LARGEST_SHARE:.0%}",
            ),
            Row(
                "memory of each process of the suite at its peak",
                ", ".join(f"{size >> 20} MiB" for size in sorted(self.memory)),
                "under 200 MiB",
            ),
        ]


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cold", action="store_true", help="start from an empty cache")
    parser.add_argument("--record", action="store_true", help="write the result into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cost = measure(Path(scratch), cold=options.cold)
    text = table(cost.rows())
    print(text)
    if options.record:
        name = "From an empty cache" if cost.cold else "Again, with the image built"
        record(name, f"benchmarks/cost.py{' --cold' if cost.cold else ''} --record", text)
    return 0 if cost.own / cost.cycle <= LARGEST_SHARE and max(cost.memory) <= LARGEST_MEMORY else 1


def measure(scratch: Path, *, cold: bool) -> Cost:
    """Run the main job once."""
    env = dict(os.environ)
    if cold:
        env["KDUMP_VERIFY_CACHE"] = str(scratch / "cache")
    begun = time.monotonic()
    with subprocess.Popen(
        [PROJECT / "scripts" / "verify", f"--reports={scratch / 'reports'}"], env=env, stdout=sys.stderr
    ) as process:
        peak = _PeakMemory(process.pid)
        peak.start()
        status = process.wait()
    wall = time.monotonic() - begun
    peak.join()
    if status != 0:
        sys.exit(f"the main job failed with status {status}: there is nothing to measure")
    facts = read_facts(scratch / "reports" / "last" / "results.jsonl")
    (crash,) = (fact for fact in facts if isinstance(fact, Crash))
    (accelerator,) = (fact for fact in facts if isinstance(fact, Accelerator))
    cycle = crash.phases[-1].seconds
    return Cost(
        cold=cold,
        wall=wall,
        cycle=cycle,
        own=_seconds_to_verdict(facts, cycle),
        memory=tuple(peak.bytes.values()),
        accelerator=accelerator.name,
        checks=sum(isinstance(fact, Verdict) for fact in facts),
    )


def _seconds_to_verdict(facts: tuple[object, ...], cycle: float) -> float:
    """From the last needed line to the end of the last step before the verdicts, and their own time."""
    steps = [fact for fact in facts if isinstance(fact, StepDone)]
    trigger = next(step for step in steps if step.what.startswith("crashing by"))
    judged = next(step for step in steps if step.what == "looking into the vmcore")
    own_tests = sum(
        fact.seconds for fact in facts
        if isinstance(fact, Verdict) and ("test_crash.py" in fact.test or "test_dump.py" in fact.test)
        and fact.seconds < 1  # the first one's time holds the crash itself
    )  # fmt: skip
    return (judged.at + judged.seconds) - (trigger.at + cycle) + own_tests


class _PeakMemory(threading.Thread):
    """The largest resident set of the pytest that scripts/verify becomes, and of each group's process."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.bytes: dict[int, int] = {}

    def run(self) -> None:
        try:
            while True:
                for process in (self._process, *self._process.children()):
                    self._look_at(process)
                time.sleep(0.2)
        except psutil.Error:
            return

    def _look_at(self, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            # Setting up is pip's memory, not the suite's.
            if any("pytest" in word for word in process.cmdline()):
                seen = process.memory_info().rss
                self.bytes[process.pid] = max(self.bytes.get(process.pid, 0), seen)


if __name__ == "__main__":
    sys.exit(main())
