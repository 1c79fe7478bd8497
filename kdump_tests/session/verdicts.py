"""From pytest's outcomes to verdicts: the product failed, the laboratory broke, or it was not judged.

pytest knows a failure (in the test) from an error (in a fixture). Here the difference is whose fault it
is, wherever it shows: a KdumpFailure and a failed assertion are the product's, a LabError and anything
unforeseen in a fixture are the laboratory's.
"""

from collections.abc import Generator

import pytest

from kdump_tests.errors import KdumpFailure, KdumpVerifyError, LabError
from kdump_tests.report.facts import Outcome, Verdict
from kdump_tests.report.folder import Report
from kdump_tests.report.foreign import readable

_INTERNAL_ERROR = LabError.exit_code
_LONGEST_SHOWN = 64 << 10  # characters


class Verdicts:
    """A pytest plugin: gives every report its verdict, keeps it, and decides the exit status."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._first_with: dict[int, tuple[BaseException, str]] = {}
        # Of tests that ran here, and of those whose reports came from elsewhere.
        self._lab_exit_code = 0
        self._failed = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge one phase of one test."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if report.failed and error is not None:
            self._judge(item, report, error)
        if not report.passed:
            _defuse(report)
        if report.when == "call" or report.outcome != "passed":
            self._keep(item, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what decides the exit status, wherever the test ran."""
        match getattr(report, "verdict", None):
            case "failed":
                self._failed = True
            case "error":
                self._lab_exit_code = self._lab_exit_code or report.exit_code

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """What the terminal calls it."""
        match getattr(report, "verdict", None):
            case "failed":
                return "failed", "F", "FAILED"
            case "error":
                return "error", "E", "ERROR"
            case _:
                return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """1: kdump does not work. 2 and above: the laboratory failed (sysexits.h), or was interrupted."""
        if exitstatus != pytest.ExitCode.TESTS_FAILED:
            return
        session.exitstatus = 1 if self._failed else self._lab_exit_code or 1

    def _judge(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        if isinstance(error, KdumpVerifyError):
            report.longrepr = f"{type(error).__name__}: {error}"
        _, first = self._first_with.setdefault(id(error), (error, item.nodeid))
        if first != item.nodeid:
            _not_judged(report, first)
            return
        _mark(report, "failed" if _is_products(report, error) else "error", error)

    def _keep(self, item: pytest.Item, report: pytest.TestReport) -> None:
        outcome: Outcome = getattr(report, "verdict", None) or report.outcome
        message = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        self._report.record(Verdict(item.nodeid, outcome, report.duration, message, guest_of(item)))


def blame(
    nodeid: str, location: tuple[str, int | None, str], error: LabError, first: str
) -> pytest.TestReport:
    """The report of a test that could not be run for an error of the laboratory, which ``first`` tells."""
    message = _harmless(f"{type(error).__name__}: {error}")
    report = pytest.TestReport(nodeid, location, {}, "failed", message, "setup")
    if nodeid == first:
        _mark(report, "error", error)
    else:
        _not_judged(report, first)
    return report


def _defuse(report: pytest.TestReport) -> None:
    """What a guest said may be in it, and pytest prints it as it is: to a terminal, or into a log of CI."""
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, _harmless(reason))
    else:
        report.longrepr = _harmless(report.longreprtext)


def _harmless(text: str) -> str:
    return readable(text[:_LONGEST_SHOWN])


def _mark(report: pytest.TestReport, outcome: Outcome, error: BaseException) -> None:
    """Whose fault it is, on the report itself: it may travel to another process."""
    report.verdict = outcome  # type: ignore[attr-defined]
    if outcome == "error":
        code = error.exit_code if isinstance(error, LabError) else _INTERNAL_ERROR
        report.exit_code = code  # type: ignore[attr-defined]


def _not_judged(report: pytest.TestReport, first: str) -> None:
    """A fixture's fault is told once; whoever needs that fixture was not judged because of it."""
    path, line, _ = report.location
    report.outcome = "skipped"
    report.longrepr = (path, line or 0, f"not judged: see {first}")


def guest_of(item: pytest.Item) -> str:
    """The guest that a test judges, or that would have so much memory."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    spec = params.get("tier") or params.get("probed")
    return str(getattr(spec, "name", ""))


def _is_products(report: pytest.TestReport, error: BaseException) -> bool:
    said_by_a_test = isinstance(error, AssertionError | pytest.fail.Exception) and report.when == "call"
    return isinstance(error, KdumpFailure) or said_by_a_test
