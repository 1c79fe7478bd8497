"""What CI reads."""

from dataclasses import replace

from junitparser import Error, JUnitXml, TestCase, TestSuite

from kdump_tests.report.facts import Fact
from kdump_tests.report.junit import junit
from kdump_tests.unit.report.stories import ENDED, EVERY_FACT, FAILED, KILLED, WORKING


def suite_of(facts: tuple[Fact, ...]) -> TestSuite:
    (suite,) = JUnitXml.fromstring(junit(facts))
    return suite


def cases_of(facts: tuple[Fact, ...]) -> list[TestCase]:
    return list(suite_of(facts))


def test_suite_says_where_and_when_it_ran() -> None:
    suite = suite_of(WORKING)
    assert (suite.name, suite.hostname, suite.time) == ("kdump-verify", "lab-3", 264.5)
    assert suite.timestamp == "2026-11-23T09:38:56+00:00"
    properties = suite.properties()  # type: ignore[no-untyped-call]
    assert {found.name: found.value for found in properties} == {
        "run": "8f3a",
        "accelerator": "kvm",
        "accelerator because": "/dev/kvm opens",
    }


def test_failed_error_and_skipped_are_three_things() -> None:
    passed, failed, error, skipped = cases_of(EVERY_FACT)
    assert (passed.is_passed, failed.is_failure, error.is_error, skipped.is_skipped) == (True,) * 4
    (result,) = failed.result
    assert result.message == "BadDump: the vmcore is truncated"
    assert result.text == FAILED.message


def test_a_case_has_pytests_names() -> None:
    (case,) = cases_of(
        (replace(FAILED, test="a/test_b.py::TestC::test_d[x::y-[z]]"), replace(ENDED, exit_status=1))
    )
    assert (case.classname, case.name, case.time) == ("a.test_b.TestC", "test_d[x::y-[z]]", 0.5)


def test_a_module_that_could_not_be_collected_has_a_case() -> None:
    (case,) = cases_of((replace(FAILED, test="a/test_b.py"), replace(ENDED, exit_status=1)))
    assert (case.classname, case.name) == ("a.test_b", "a/test_b.py")


def test_killed_run_is_not_green() -> None:
    *_, last = cases_of(KILLED)
    (result,) = last.result
    assert isinstance(result, Error)
    assert result.message == "the run has not ended: it is still running, or was killed"


def test_interrupted_run_is_not_green() -> None:
    assert suite_of((*KILLED, replace(ENDED, exit_status=2))).errors == 1
