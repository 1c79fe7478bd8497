"""The suite as its users start it: in a process of its own."""

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from kdump_tests.report.facts import Fact, Outcome, Verdict, read_facts
from kdump_tests.report.words import NodeId

PROJECT = Path(__file__).parents[2]
# Far more than any of these takes; what they wait for has deadlines of its own.
_LONGEST_SECONDS = 5400


@dataclass(frozen=True)
class SuiteRun:
    """One run that has ended."""

    exit_status: int
    output: str
    report: Path | None

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All that the report says."""
        assert self.report, self.output
        return read_facts(self.report / "results.jsonl")

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts of a run of one tier, by the name of the test."""
        told = [fact for fact in self.facts if isinstance(fact, Verdict)]
        named = {NodeId.parse(verdict.test).function: verdict for verdict in told}
        assert len(named) == len(told), "more than one tier"
        return named

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome of each verdict."""
        return [fact.outcome for fact in self.facts if isinstance(fact, Verdict)]

    def tests(self, outcome: Outcome) -> set[str]:
        """The tests with that outcome."""
        return {name for name, verdict in self.verdicts.items() if verdict.outcome == outcome}

    @property
    def junit(self) -> ET.Element:
        """The report for CI."""
        assert self.report, self.output
        return ET.parse(self.report / "junit.xml").getroot()  # noqa: S314 - ours


@dataclass(frozen=True)
class Runner:
    """Starts runs that share a cache and have a folder for runs and reports of their own."""

    runs: Path
    reports: Path

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> SuiteRun:
        """Run the suite to its end."""
        with self.started(*arguments, env=env) as process:
            output, _ = process.communicate(timeout=_LONGEST_SECONDS)
        last = self.reports / "last"
        return SuiteRun(process.returncode, output, last.resolve() if last.exists() else None)

    @contextmanager
    def started(self, *arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start the suite; whatever of it is alive at the end is killed."""
        command = [sys.executable, "-m", "pytest", f"--reports={self.reports}", *arguments]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "KDUMP_VERIFY_RUNS": str(self.runs), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()

    def command(self, *arguments: str) -> str:
        """What kdump-verify prints."""
        return subprocess.run(
            [sys.executable, "-m", "kdump_tests", *arguments],
            env={**os.environ, "KDUMP_VERIFY_RUNS": str(self.runs)},
            check=True,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
        ).stdout

    def left_overs(self) -> list[str]:
        """Processes with our folder for runs on their command line, and what lies in that folder."""
        found = [str(path) for path in self.runs.iterdir()] if self.runs.exists() else []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if process.info["status"] != psutil.STATUS_ZOMBIE and any(
                str(self.runs) in word for word in words
            ):
                found.append(" ".join(words))
        return found
