"""Running groups side by side: each in a process of its own, as many at once as the machine holds.

A pytest plugin whose run loop takes the place of pytest's own. Reports come back by the hooks that
pytest-xdist uses too, so whatever listens to them (the terminal, -x, --lf, --junitxml) works as ever.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from kdump_tests.errors import GuestLost, LabError
from kdump_tests.fleet.engine import Engine
from kdump_tests.fleet.group import Capacity, Group, Message, Outcome, Task
from kdump_tests.fleet.packing import next_to_start, seconds_left
from kdump_tests.report import facts
from kdump_tests.report.folder import Report
from kdump_tests.report.words import folder_name
from kdump_tests.report.words import seconds as in_words
from kdump_tests.session.grouping import history
from kdump_tests.session.order import Order, Said
from kdump_tests.session.verdicts import blame
from kdump_tests.steps import Step

# A group whose process died gets another one; a second death is no accident.
_MOST_ATTEMPTS = 2


class Stage(Protocol):
    """What a controller shows and does beyond pytest's own hooks."""

    report: Report

    def show_step(self, step: Step) -> None:
        """On the terminal and in the report."""

    def say(self, line: str) -> None:
        """On the terminal."""

    def reap(self) -> None:
        """Remove the guests of processes that died."""

    def stop(self, error: LabError) -> None:
        """End the session: the laboratory failed."""


@dataclass
class _Running:
    """A group that runs, and which of its tests have had their say."""

    group: Group
    begun: float = field(default_factory=time.monotonic)
    judged: set[str] = field(default_factory=set)
    ended: bool = False  # its session said so itself

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(test for test in self.group.tests if test not in self.judged)


class Controller:
    """Runs the groups of one session on an engine. ``took`` holds the seconds of groups that ended well."""

    def __init__(self, session: pytest.Session, stage: Stage, engine: Engine) -> None:
        self._session = session
        self._config = session.config
        self._stage = stage
        self._engine = engine
        self._locations = {item.nodeid: item.location for item in session.items}
        self._waiting: list[Group] = []
        self._running: dict[str, _Running] = {}
        self._finished = 0
        self._stopping = False
        self.took: dict[str, float] = {}

    def run(self, groups: Iterable[Group]) -> None:
        """Run them all, or until pytest has had enough.

        Raises:
            pytest.Session.Failed: -x or --maxfail.
        """
        for group in groups:
            if self._engine.capacity().fits(group.need):
                self._waiting.append(group)
            else:
                self._give_up(group.name, group.tests, _does_not_fit(group, self._engine.capacity()))
        try:
            self._start_what_fits()
            self._show_progress()
            for news in self._engine.as_completed():
                self._take(news)
                self._heed_pytest()
        except BaseException:
            # Ctrl-C, or an end that was decided here: guests are torn down by those who made them.
            self._stopping = True
            self._engine.cancel()
            for news in self._engine.as_completed():
                self._take(news)
            raise

    def _heed_pytest(self) -> None:
        if self._session.shouldfail and not self._stopping:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop and not self._stopping:
            raise self._session.Interrupted(self._session.shouldstop)

    def _start_what_fits(self) -> None:
        while group := next_to_start(self._waiting, self._groups_running, self._engine.capacity()):
            self._waiting.remove(group)
            self._running[group.key] = _Running(group)
            order = Order(group.tests, str(self._stage.report.folder), group.attempt)
            # The same command as ours: it finds the same tests, and runs those of its order.
            argv = (sys.executable, "-m", "pytest", *self._config.invocation_params.args)
            log = self._stage.report.folder / "groups" / f"{folder_name(group.key)}.log"
            log.parent.mkdir(exist_ok=True)
            self._engine.submit(Task(group, argv, order.as_text(), str(log)))

    def _take(self, news: Message | Outcome) -> None:
        running = self._running[news.key]
        if isinstance(news, Message):
            self._hear(running, Said.parse(news.text))
            return
        del self._running[news.key]
        self._finished += 1
        self._judge_end(running, news)
        if not self._stopping:
            self._start_what_fits()
            self._show_progress()

    def _hear(self, running: _Running, said: Said) -> None:
        hook, content = self._config.hook, said.content
        match said.kind:
            case "begins":
                hook.pytest_runtest_logstart(nodeid=content["nodeid"], location=tuple(content["location"]))
            case "report":
                report = hook.pytest_report_from_serializable(config=self._config, data=dict(content))
                if isinstance(report.longrepr, list):  # of a skip; JSON has no tuples
                    report.longrepr = tuple(report.longrepr)
                if report.when == "teardown":
                    running.judged.add(report.nodeid)
                hook.pytest_runtest_logreport(report=report)
            case "step":
                self._stage.show_step(Step(**content))
            case "fact":
                self._stage.report.record(facts.parse_line(content["line"]))
            case "stopped":
                running.ended = True
                if not self._stopping:
                    self._stage.stop(_Stopped(content["message"], content["exit_code"]))
            case "ended":
                running.ended = True

    def _judge_end(self, running: _Running, outcome: Outcome) -> None:
        group = running.group
        if running.ended and not running.left:
            self.took[history(group.name, len(group.tests))] = round(running.seconds, 1)
            return
        if self._stopping:
            return
        # Whatever ended it left its guests behind.
        self._stage.reap()
        how = (
            f"its process died of signal {-outcome.exit_status}"
            if outcome.exit_status < 0
            else f"its process ended with status {outcome.exit_status} before its tests did"
        )
        if running.left and group.attempt < _MOST_ATTEMPTS:
            self._note(group.name, f"{how}; what was not judged by then runs once more")
            self._waiting.append(group.again(running.left))
        elif running.left:
            error = GuestLost(f"{group.name}: {how}, the second time", said=outcome.said)
            self._give_up(group.name, running.left, error)
        else:
            self._note(group.name, f"{how}, after its last test")

    def _give_up(self, guest: str, tests: Iterable[str], error: LabError) -> None:
        """Tell of tests that cannot be run: the first as the laboratory's error, the rest as not judged."""
        first = None
        for nodeid in tests:
            first = first or nodeid
            report = blame(nodeid, self._locations[nodeid], error, first)
            self._stage.report.record(
                facts.Verdict(
                    nodeid, "error" if nodeid == first else "skipped", 0.0, report.longreprtext, guest
                )
            )
            hook = self._config.hook
            hook.pytest_runtest_logstart(nodeid=nodeid, location=self._locations[nodeid])
            hook.pytest_runtest_logreport(report=report)

    def _note(self, subject: str, text: str) -> None:
        self._stage.report.record(facts.Note(time.time(), subject, text))
        self._stage.say(f"note: {subject}: {text}")

    def _show_progress(self) -> None:
        running = {running.group: running.seconds for running in self._running.values()}
        if not running:
            return
        counts = f"{self._finished} finished, {len(running)} running, {len(self._waiting)} waiting"
        left = seconds_left(self._waiting, running, self._engine.capacity())
        # Estimates are of earlier runs, and this one may be slower.
        when = f"about {in_words(left)} left" if left >= 1 else "done any moment"
        self._stage.say(f"groups: {counts}; {when}")

    @property
    def _groups_running(self) -> list[Group]:
        return [running.group for running in self._running.values()]


class _Stopped(LabError):
    """What a group's process said when the laboratory could not be opened there."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # of this one

    def __str__(self) -> str:
        return self.message


def _does_not_fit(group: Group, capacity: Capacity) -> LabError:
    need = group.need
    return LabError(
        f"{group.name} does not fit on this host",
        needed=f"{need.memory >> 20} MiB of memory, {need.cores} cores",
        here=f"{capacity.memory >> 20} MiB, {capacity.cores} cores",
        way_out="free memory, or fewer --memory and --vcpus",
    )


def worth_it(groups: Iterable[Group], capacity: Capacity) -> bool:
    """Whether two of them could run at once, so that processes of their own save time."""
    waiting = list(groups)
    first = next_to_start(waiting, [], capacity)
    if first is None:
        return False
    waiting.remove(first)
    return next_to_start(waiting, [first], capacity) is not None
