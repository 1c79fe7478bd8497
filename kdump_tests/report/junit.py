"""The verdicts as JUnit XML, the way CI servers read it."""

import io
from collections.abc import Iterable
from datetime import UTC, datetime

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from kdump_tests.report.answer import not_finished
from kdump_tests.report.facts import Fact, RunEnded, Verdict
from kdump_tests.report.foreign import first_line, one_line, readable
from kdump_tests.report.run import Run
from kdump_tests.report.words import NodeId

_RESULTS: dict[str, type[FinalResult]] = {"failed": Failure, "error": Error, "skipped": Skipped}


def junit(facts: Iterable[Fact]) -> bytes:
    """The whole ``junit.xml``, of a run that ended or of one under way."""
    run = Run.of(facts)
    suite = TestSuite("kdump-verify")
    properties = {}
    if run.started is not None:
        suite.timestamp = datetime.fromtimestamp(run.started.at, UTC).isoformat(timespec="seconds")
        suite.hostname = one_line(run.started.host.get("hostname", ""))
        properties["run"] = run.started.id
    if run.accelerator is not None:
        properties["accelerator"] = run.accelerator.name
        properties["accelerator because"] = run.accelerator.because
    for name, value in properties.items():
        suite.add_property(name, one_line(value))
    cases = [_case(verdict) for guest in run.guests for verdict in guest.verdicts]
    if trouble := _unfinished(run.ended):
        cases.append(trouble)
    suite.add_testcases(cases)
    if run.ended is not None:
        suite.time = round(run.ended.seconds, 3)
    document = JUnitXml("kdump-verify")
    document.add_testsuite(suite)
    file = io.BytesIO()
    document.write(file)
    return file.getvalue()


def _case(verdict: Verdict) -> TestCase:
    name = NodeId.parse(verdict.test)
    case = TestCase(
        one_line(name.function + name.parameter), one_line(name.classname), round(verdict.seconds, 3)
    )
    if verdict.outcome != "passed":
        case.result = _result(_RESULTS[verdict.outcome], verdict.message)
    return case


def _unfinished(ended: RunEnded | None) -> TestCase | None:
    """CI must not take the few checks that a killed run came to for a green suite."""
    if ended is not None and ended.exit_status in {0, 1}:  # pytest: all passed, some failed
        return None
    case = TestCase("run has ended", "kdump-verify", 0.0)
    case.result = _result(Error, not_finished(ended))
    return case


def _result(kind: type[FinalResult], message: str) -> FinalResult:
    result = kind(first_line(message))
    result.text = readable(message)
    return result
