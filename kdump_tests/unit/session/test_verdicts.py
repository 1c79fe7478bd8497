"""Whose fault it is: small suites are run under the plugin, and it must say so."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kdump_tests.report.facts import RunStarted, Verdict
from kdump_tests.report.folder import Report
from kdump_tests.session.verdicts import Verdicts

pytest_plugins = ["pytester"]

HEAD = "import pytest\nfrom kdump_tests.errors import CaptureFailed, GuestLost, NoSpace, NotArmed\n"
BROKEN_FIXTURE = """
@pytest.fixture(scope="module")
def crash():
    raise {error}

def test_first(crash): pass
def test_second(crash): pass
def test_third(crash): pass
"""


@dataclass(frozen=True)
class Judged:
    """How a small suite was judged, by its terminal, its exit status and its report."""

    exit_status: int
    shown: pytest.LineMatcher
    verdicts: dict[str, Verdict]

    @property
    def outcomes(self) -> list[str]:
        return [verdict.outcome for verdict in self.verdicts.values()]


@dataclass(frozen=True)
class Bench:
    """Runs a small suite."""

    pytester: pytest.Pytester
    report: Report

    def judges(self, source: str) -> Judged:
        self.pytester.makepyfile(test_small=HEAD + source)
        # Hypothesis has nothing to do here, and its plugin would be imported anew by every small suite.
        without = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        ended = self.pytester.runpytest_inprocess(*without, plugins=[Verdicts(self.report)])
        told = [fact for fact in self.report.facts if isinstance(fact, Verdict)]
        verdicts = {verdict.test.rpartition("::")[2]: verdict for verdict in told}
        return Judged(int(ended.ret), ended.stdout, verdicts)


@pytest.fixture
def bench(pytester: pytest.Pytester, tmp_path: Path) -> Bench:
    started = RunStarted("8f3a", 0.0, ("pytest",), {}, {}, {})
    return Bench(pytester, Report.create(tmp_path / "reports", started))


def test_a_broken_product_fails_once_and_leaves_the_rest_unjudged(bench: Bench) -> None:
    judged = bench.judges(BROKEN_FIXTURE.format(error="CaptureFailed('no dump was saved', console='c:8')"))
    assert judged.outcomes == ["failed", "skipped", "skipped"]
    assert judged.verdicts["test_first"].message == ("CaptureFailed: no dump was saved\n  console   c:8")
    assert judged.verdicts["test_third"].message == "not judged: see test_small.py::test_first"
    assert judged.exit_status == 1


@pytest.mark.parametrize(
    ("error", "exit_status"),
    [("GuestLost('it is gone')", 75), ("NoSpace('the disk is full')", 73), ("KeyError('x')", 70)],
)
def test_a_broken_laboratory_is_an_error_with_its_exit_status(
    bench: Bench, error: str, exit_status: int
) -> None:
    judged = bench.judges(BROKEN_FIXTURE.format(error=error))
    assert judged.outcomes == ["error", "skipped", "skipped"]
    assert judged.exit_status == exit_status


def test_an_assertion_in_a_fixture_is_the_laboratorys(bench: Bench) -> None:
    judged = bench.judges(BROKEN_FIXTURE.format(error="AssertionError('x')"))
    assert judged.outcomes[0] == "error"
    assert judged.exit_status == 70


@pytest.mark.parametrize("statement", ["assert 2 + 2 == 5", "raise NotArmed('nothing is loaded')"])
def test_an_assertion_and_a_failure_of_kdump_are_the_products(bench: Bench, statement: str) -> None:
    judged = bench.judges(f"def test_it(): {statement}")
    assert judged.outcomes == ["failed"]
    assert judged.exit_status == 1


def test_an_assertion_is_told_with_its_values(bench: Bench) -> None:
    judged = bench.judges("def test_it(): assert 2 + 2 == 5")
    assert "assert (2 + 2) == 5" in judged.verdicts["test_it"].message


def test_a_lost_guest_is_the_laboratorys_also_in_a_test(bench: Bench) -> None:
    judged = bench.judges("def test_it(): raise GuestLost('it is gone')")
    assert judged.outcomes == ["error"]
    assert judged.exit_status == 75


def test_a_failure_outweighs_an_error(bench: Bench) -> None:
    judged = bench.judges("def test_lost(): raise GuestLost('gone')\ndef test_kdump(): assert False")
    assert judged.outcomes == ["error", "failed"]
    assert judged.exit_status == 1


def test_the_first_error_of_the_laboratory_decides_its_exit_status(bench: Bench) -> None:
    judged = bench.judges("def test_a(): raise NoSpace('full')\ndef test_b(): raise GuestLost('gone')")
    assert judged.exit_status == 73


def test_one_failure_that_several_tests_ask_for_is_told_once(bench: Bench) -> None:
    shared = "LOST = CaptureFailed('no dump')\ndef test_a(): raise LOST\ndef test_b(): raise LOST"
    judged = bench.judges(shared)
    assert judged.outcomes == ["failed", "skipped"]


def test_failures_that_only_look_alike_are_each_told(bench: Bench) -> None:
    alike = "def test_a(): raise CaptureFailed('x')\ndef test_b(): raise CaptureFailed('x')"
    assert bench.judges(alike).outcomes == ["failed", "failed"]


def test_a_skipped_test_keeps_its_reason(bench: Bench) -> None:
    judged = bench.judges("def test_it(): pytest.skip('there is no second disk')")
    assert judged.outcomes == ["skipped"]
    assert "there is no second disk" in judged.verdicts["test_it"].message
    assert judged.exit_status == 0


@pytest.mark.parametrize(
    "statement",
    [
        r"assert False, '\x1b]0;owned\x07\x1b[2Jbad'",
        r"raise CaptureFailed('\x1b]0;owned\x07\x1b[2Jbad')",
        r"pytest.skip('\x1b]0;owned\x07\x1b[2Jbad')",
    ],
)
def test_what_a_guest_said_writes_nothing_but_words_to_the_terminal(bench: Bench, statement: str) -> None:
    judged = bench.judges(f"def test_it(): {statement}")
    told = f"{judged.shown}{judged.verdicts['test_it'].message}"
    assert "bad" in told
    assert "\x1b" not in told
    assert "\x07" not in told


def test_what_passes_is_kept_with_its_time(bench: Bench) -> None:
    judged = bench.judges("def test_it(): pass")
    assert judged.outcomes == ["passed"]
    assert judged.verdicts["test_it"].message == ""
    assert judged.verdicts["test_it"].seconds > 0
    assert judged.exit_status == 0


def test_a_teardown_that_breaks_is_the_laboratorys_and_takes_no_verdict_back(bench: Bench) -> None:
    source = "@pytest.fixture\ndef lab():\n    yield\n    raise GuestLost('x')\ndef test_it(lab): pass"
    judged = bench.judges(source)
    told = [fact.outcome for fact in bench.report.facts if isinstance(fact, Verdict)]
    assert told == ["passed", "error"]
    assert judged.exit_status == 75


def test_an_interruption_keeps_pytests_own_exit_status(bench: Bench) -> None:
    judged = bench.judges("def test_a(): assert False\ndef test_b(): pytest.exit('enough', returncode=42)")
    assert judged.outcomes == ["failed"]
    assert judged.exit_status == 42


def test_the_terminal_calls_things_by_the_same_names(bench: Bench) -> None:
    source = "@pytest.fixture\ndef unarmed(): raise NotArmed('x')\ndef test_kdump(unarmed): pass\n"
    judged = bench.judges(f"{source}def test_lab(): raise GuestLost('x')")
    judged.shown.fnmatch_lines(["FAILED*::test_kdump*", "ERROR*::test_lab*", "*1 failed, 1 error*"])


def test_a_verdict_names_the_guest_of_its_tier(bench: Bench) -> None:
    source = "from types import SimpleNamespace as NS\nTIERS = [NS(name='debian-13-2G')]\n"
    judged = bench.judges(f"{source}@pytest.mark.parametrize('tier', TIERS)\ndef test_it(tier): pass")
    assert [verdict.guest for verdict in judged.verdicts.values()] == ["debian-13-2G"]
