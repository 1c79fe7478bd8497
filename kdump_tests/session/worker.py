"""The process of one group: an ordinary pytest session that tells its controller what happens."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdump_tests.fleet.messages import Messages
from kdump_tests.report.facts import Fact, as_line
from kdump_tests.report.folder import Report
from kdump_tests.session.order import Kind, Order, Said
from kdump_tests.steps import Step

_LONGEST_SECTION = 64 << 10


class SentReport(Report):
    """The controller's report, seen from a group: facts go there, files into its folder directly."""

    def __init__(self, messages: Messages, order: Order) -> None:
        super().__init__(Path(order.report))
        self._messages = messages
        self._attempt = order.attempt

    def record(self, fact: Fact) -> None:
        """Tell the controller."""
        self._messages.send(Said("fact", {"line": as_line(fact).decode()}).as_text())

    def guest_folder(self, name: str) -> Path:
        """Of this attempt alone: what an earlier one left may tell why it died."""
        return super().guest_folder(name if self._attempt == 1 else f"{name}-attempt-{self._attempt}")


class Worker:
    """A pytest plugin."""

    def __init__(self, config: pytest.Config, messages: Messages, order: Order) -> None:
        self._config = config
        self._messages = messages
        self._order = order
        self.report = SentReport(messages, order)
        # pytest's own plugins take this for a worker of pytest-xdist, which writes no cache and no XML.
        config.workerinput = {}  # type: ignore[attr-defined]

    @classmethod
    def of_this_process(cls, config: pytest.Config) -> "Worker | None":
        """The worker that this process is, if a controller started it."""
        messages = Messages.from_environment()
        if messages is None:
            return None
        capture = config.pluginmanager.getplugin("capturemanager")
        capture.suspend_global_capture(in_=True)  # pytest gives tests another standard input
        order = Order.parse(sys.stdin.read())
        capture.resume_global_capture()
        return cls(config, messages, order)

    def tell(self, kind: Kind, content: Mapping[str, Any]) -> None:
        """Say it."""
        self._messages.send(Said(kind, content).as_text())

    def on_step(self, step: Step) -> None:
        """A step begins or ends."""
        self.tell("step", {"subject": step.subject, "what": step.what, "at": step.at,
                           "seconds": step.seconds, "failed": step.failed})  # fmt: skip

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """The group's tests, in the order given."""
        found = {item.nodeid: item for item in items}
        chosen = [found.pop(nodeid) for nodeid in self._order.tests]
        config.hook.pytest_deselected(items=list(found.values()))
        items[:] = chosen

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """A test begins."""
        self.tell("begins", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of a test has ended. What it printed goes along up to a length that a message takes."""
        hook = self._config.hook
        report.sections = [(name, text[-_LONGEST_SECTION:]) for name, text in report.sections]
        self.tell("report", hook.pytest_report_to_serializable(config=self._config, report=report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Whatever a group was ordered, it has done."""
        self.tell("ended", {"exit_status": int(exitstatus)})
