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
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from kdump_tests.report.facts import Accelerator, Crash, RunStarted, StepDone, Verdict, read_facts

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "RESULTS.md"
LARGEST_SHARE = 0.03
LARGEST_MEMORY = 200 * 2**20


@dataclass(frozen=True)
class Cost:
    """One measured run. Times in seconds, memory in bytes."""

    cold: bool
    wall: float
    cycle: float
    own: float
    memory: int
    accelerator: str
    checks: int
    versions: str

    def rows(self) -> list[tuple[str, str, str]]:
        """What was measured, its value, and what was promised."""
        promised = "under 600 s" if self.cold else "under 240 s"
        return [
            (
                f"scripts/verify {'from an empty cache' if self.cold else 'again'}",
                f"{self.wall:.0f} s",
                promised,
            ),
            ("crash cycle: trigger to the last needed console line", f"{self.cycle:.1f} s", ""),
            ("from there to the verdict", f"{self.own:.2f} s", ""),
            (
                "the suite's share of the cycle",
                f"{self.own / self.cycle:.1%}",
                f"at most {LARGEST_SHARE:.0%}",
            ),
            ("memory of the suite's process at its peak", f"{self.memory / 2**20:.0f} MiB", "under 200 MiB"),
        ]


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cold", action="store_true", help="start from an empty cache")
    parser.add_argument("--record", action="store_true", help=f"write the result into {RESULTS.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cost = measure(Path(scratch), cold=options.cold)
    table = "\n".join(f"| {what} | {value} | {promise} |" for what, value, promise in cost.rows())
    print(table)
    if options.record:
        record(cost, table)
    return 0 if cost.own / cost.cycle <= LARGEST_SHARE and cost.memory <= LARGEST_MEMORY else 1


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
    (started,) = (fact for fact in facts if isinstance(fact, RunStarted))
    (accelerator,) = (fact for fact in facts if isinstance(fact, Accelerator))
    cycle = crash.phases[-1].seconds
    return Cost(
        cold=cold,
        wall=wall,
        cycle=cycle,
        own=_seconds_to_verdict(facts, cycle),
        memory=peak.bytes,
        accelerator=accelerator.name,
        checks=sum(isinstance(fact, Verdict) for fact in facts),
        versions=", ".join(f"{name} {version}" for name, version in started.versions.items()),
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
    """The largest resident set of the pytest process that scripts/verify becomes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.bytes = 0

    def run(self) -> None:
        try:
            while True:
                # Setting up is pip's memory, not the suite's.
                if any("pytest" in word for word in self._process.cmdline()):
                    self.bytes = max(self.bytes, self._process.memory_info().rss)
                time.sleep(0.2)
        except psutil.Error:
            return


def record(cost: Cost, table: str) -> None:
    """Replace this measurement's section of RESULTS.md."""
    name = "From an empty cache" if cost.cold else "Again, with the image built"
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {_cpu()}"
    section = (
        f"## {name}\n\n"
        f"`.venv/bin/python benchmarks/cost.py{' --cold' if cost.cold else ''} --record`, "
        f"{datetime.now(UTC):%Y-%m-%d}: {machine}, {cost.accelerator}, Linux {platform.release()}; "
        f"{cost.checks} checks; {cost.versions}.\n\n"
        f"| measured | value | promised |\n|---|---|---|\n{table}\n"
    )
    text = RESULTS.read_text() if RESULTS.exists() else "# What the suite costs\n"
    head, *sections = text.split("\n## ")
    kept = [f"## {old}".rstrip() + "\n" for old in sections if not old.startswith(name)]
    RESULTS.write_text("\n".join([head.rstrip() + "\n", *sorted([*kept, section])]))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
