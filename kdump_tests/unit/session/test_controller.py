"""Small suites whose groups run side by side: pytest must look and behave as ever."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdump_tests.report.facts import Fact, Note, RunStarted, Verdict, read_facts
from kdump_tests.report.folder import Report
from kdump_tests.session.order import Order, Said

pytest_plugins = ["pytester"]

# A suite of one group per parameter, as the plugin would run it, without guests.
CONFTEST = """
import pytest
from pathlib import Path
from kdump_tests.fleet.dask import local_engine
from kdump_tests.fleet.group import Capacity, Group, Need
from kdump_tests.report.folder import Report
from kdump_tests.session.controller import Controller
from kdump_tests.session.verdicts import Verdicts
from kdump_tests.session.worker import Worker
from kdump_tests.steps import listening

class Stage:
    def __init__(self, report): self.report, self.lines = report, []
    def show_step(self, step): print("STEP", step.subject, step.what, step.seconds is None)
    def say(self, line): print("LINE", line)
    def reap(self): print("REAPED")
    def stop(self, error): pytest.exit(str(error), returncode=error.exit_code)

class Loop:
    def __init__(self, report): self.report = report
    def pytest_runtestloop(self, session):
        if session.config.option.collectonly or session.testsfailed:
            return None
        names = dict.fromkeys(item.callspec.params["guest"] for item in session.items)
        groups = [
            Group(name, tuple(i.nodeid for i in session.items if i.callspec.params["guest"] == name),
                  Need(1 << 20, 99 if name == "huge" else 1, "tcg", "x86_64", "none"), 30.0)
            for name in names
        ]
        with local_engine(Capacity(1 << 30, 2), Path("fleet")) as engine:
            Controller(session, Stage(self.report), engine).run(groups)
        return True

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    worker = Worker.of_this_process(config)
    report = worker.report if worker else Report(Path("report").absolute())
    config.pluginmanager.register(Verdicts(report))
    if worker:
        config.pluginmanager.register(worker)
        config.worker = worker
    else:
        config.pluginmanager.register(Loop(report))

@pytest.fixture(scope="session", params=["a", "b"])
def guest(request): return request.param
"""
HEAD = """
import os, signal, pathlib, pytest
from kdump_tests.errors import GuestLost, NotArmed
"""


@dataclass(frozen=True)
class Ended:
    """How a small suite ended."""

    status: int
    out: str
    facts: tuple[Fact, ...]
    folder: Path

    @property
    def outcomes(self) -> dict[str, str]:
        return {
            fact.test.partition("::")[2]: fact.outcome for fact in self.facts if isinstance(fact, Verdict)
        }

    @property
    def notes(self) -> list[str]:
        return [fact.text for fact in self.facts if isinstance(fact, Note)]

    def counted(self, what: str) -> int:
        found = re.search(rf"(\d+) {what}", self.out.splitlines()[-1])
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Bench:
    """Runs a small suite in a process of its own."""

    pytester: pytest.Pytester

    def runs(self, source: str, *arguments: str, capture: str = "no") -> Ended:
        self.pytester.makeconftest(CONFTEST)
        self.pytester.makepyfile(test_small=HEAD + source)
        folder = self.pytester.path / "report"
        if not folder.exists():
            folder.mkdir()
            Report(folder).record(RunStarted("8f3a", 0.0, ("pytest",), {}, {}, {}))
        without = ["-p", "no:hypothesispytest", "-p", "no:randomly"]
        ended = self.pytester.run(
            sys.executable, "-m", "pytest", f"--capture={capture}", *without, *arguments
        )
        out = "\n".join(ended.outlines)
        return Ended(int(ended.ret), out, read_facts(folder / "results.jsonl"), self.pytester.path)


@pytest.fixture
def bench(pytester: pytest.Pytester) -> Bench:
    return Bench(pytester)


GOOD = """
def test_one(guest): pass
def test_two(guest): pass
"""
ONE_BAD = """
def test_one(guest): assert guest == "a"
def test_two(guest): pass
"""
# Each attempt leaves a mark; what the first one does is up to the story.
DIES = """
@pytest.fixture(scope="session")
def attempts(guest):
    marks = pathlib.Path("marks"); marks.mkdir(exist_ok=True)
    (marks / f"{{guest}}-{{os.getpid()}}").touch()
    return len(list(marks.glob(f"{{guest}}-*")))
def test_one(guest): pass
def test_two(guest, attempts):
    if guest == "b" and attempts <= {deaths}: os.kill(os.getpid(), signal.SIGKILL)
def test_three(guest): pass
"""


def test_groups_run_in_processes_of_their_own_at_the_same_time(bench: Bench) -> None:
    # Each group waits for the other's mark: one after the other, they would wait for ever.
    ended = bench.runs("""
import time
def test_meets(guest):
    pathlib.Path(f"here-{guest}").write_text(str(os.getpid()))
    until = time.monotonic() + 20
    while len(list(pathlib.Path(".").glob("here-?"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
""")
    assert (ended.status, ended.counted("passed")) == (0, 2), ended.out
    assert len({path.read_text() for path in ended.folder.glob("here-?")}) == 2


def test_verdicts_steps_and_progress_reach_the_controller(bench: Bench) -> None:
    ended = bench.runs("""
from kdump_tests.steps import listening, step
def test_steps(guest, request):
    with listening(request.config.worker.on_step), step(guest, "booting"):
        pass
""")
    assert ended.outcomes == {"test_steps[a]": "passed", "test_steps[b]": "passed"}
    assert "STEP a booting True" in ended.out
    assert "STEP b booting False" in ended.out
    assert re.search(r"LINE groups: 0 finished, 2 running, 0 waiting; about \d", ended.out)
    assert re.search(r"LINE groups: 1 finished, 1 running, 0 waiting; about \d", ended.out)


def test_test_that_prints_without_measure_is_still_told_of(bench: Bench) -> None:
    ended = bench.runs(
        "def test_loud(guest):\n    print('x' * (8 << 20))\n    assert guest == 'a'", capture="fd"
    )
    assert (ended.status, ended.counted("passed"), ended.counted("failed")) == (1, 1, 1), ended.out[-2000:]


def test_failure_is_told_with_its_words_and_its_exit_status(bench: Bench) -> None:
    ended = bench.runs(ONE_BAD)
    assert (ended.status, ended.counted("passed"), ended.counted("failed")) == (1, 3, 1), ended.out
    assert "assert 'b' == 'a'" in ended.out


def test_laboratorys_error_keeps_its_exit_status(bench: Bench) -> None:
    ended = bench.runs("def test_one(guest):\n    if guest == 'b': raise GuestLost('gone')")
    assert ended.status == 75, ended.out
    assert ended.outcomes == {"test_one[a]": "passed", "test_one[b]": "error"}


def test_keywords_choose_the_tests_of_every_group(bench: Bench) -> None:
    ended = bench.runs(GOOD, "-k", "two")
    assert (ended.counted("passed"), ended.counted("deselected")) == (2, 2), ended.out


def test_collect_only_runs_nothing(bench: Bench) -> None:
    ended = bench.runs(GOOD, "--collect-only", "-q")
    assert "4 tests collected" in ended.out
    assert ended.outcomes == {}


def test_last_failed_runs_what_failed_in_a_group(bench: Bench) -> None:
    assert bench.runs(ONE_BAD).counted("failed") == 1
    again = bench.runs(ONE_BAD, "--lf")
    assert (again.counted("failed"), again.counted("passed")) == (1, 0), again.out


def test_first_failure_ends_it_all_if_so_asked(bench: Bench) -> None:
    ended = bench.runs("""
import time
def test_fails(guest):
    if guest == "b":
        until = time.monotonic() + 30
        while time.monotonic() < until: time.sleep(0.01)
    assert guest == "b"
def test_after(guest): pass
""", "-x")  # fmt: skip
    assert ended.status == 1, ended.out
    assert (ended.counted("failed"), ended.counted("passed")) == (1, 0), ended.out
    assert "stopping after 1 failures" in ended.out


def test_junit_of_pytest_itself_has_every_test(bench: Bench) -> None:
    ended = bench.runs(ONE_BAD, "--junitxml=own.xml")
    suite = ET.parse(ended.folder / "own.xml").getroot()[0]  # noqa: S314 - ours
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")


def test_group_whose_process_dies_runs_once_more_and_the_report_says_so(bench: Bench) -> None:
    ended = bench.runs(DIES.format(deaths=1))
    assert (ended.status, ended.counted("passed")) == (0, 6), ended.out
    assert ended.notes == ["its process died of signal 9; what was not judged by then runs once more"]
    assert "REAPED" in ended.out
    assert list(ended.outcomes.values()) == ["passed"] * 6


def test_group_that_was_ended_before_its_tests_were_runs_once_more(bench: Bench) -> None:
    ended = bench.runs(DIES.format(deaths=1).replace("signal.SIGKILL", "signal.SIGINT"))
    assert (ended.status, ended.counted("passed")) == (0, 6), ended.out
    assert ended.notes == [
        "its process ended with status 2 before its tests did; what was not judged by then runs once more"
    ]


def test_group_whose_process_dies_twice_is_the_laboratorys_error(bench: Bench) -> None:
    ended = bench.runs(DIES.format(deaths=9))
    assert ended.status == 75, ended.out
    assert ended.outcomes == {
        "test_one[a]": "passed", "test_two[a]": "passed", "test_three[a]": "passed",
        "test_one[b]": "passed", "test_two[b]": "error", "test_three[b]": "skipped",
    }  # fmt: skip
    assert "b: its process died of signal 9, the second time" in ended.out


def test_group_that_never_fits_is_an_error_at_once_and_the_others_run(bench: Bench) -> None:
    ended = bench.runs("""
def test_one(guest): pass
def test_two(guest): pass
def pytest_generate_tests(metafunc):
    metafunc.parametrize("guest", ["a", "huge"], scope="session")
""".replace("def pytest_generate_tests", "def _unused") + """
@pytest.fixture(scope="session", params=["a", "huge"])
def guest(request): return request.param
""")  # fmt: skip
    assert ended.status == 70, ended.out
    assert ended.outcomes == {
        "test_one[huge]": "error", "test_two[huge]": "skipped",
        "test_one[a]": "passed", "test_two[a]": "passed",
    }  # fmt: skip
    assert "huge does not fit on this host" in ended.out


def test_laboratory_that_cannot_be_opened_ends_the_whole_run(bench: Bench) -> None:
    ended = bench.runs("""
def test_one(guest, request):
    if guest == "b":
        request.config.worker.tell("stopped", {"message": "NoSpace: full", "exit_code": 73})
        pytest.exit("full", returncode=73)
    import time
    until = time.monotonic() + 30
    while time.monotonic() < until: time.sleep(0.01)
""")  # fmt: skip
    assert ended.status == 73, ended.out
    assert "NoSpace: full" in ended.out


def test_orders_and_messages_are_read_back_as_they_were() -> None:
    order = Order(("test_a.py::test[é]",), "/reports/x", 2)
    assert Order.parse(order.as_text()) == order
    said = Said("step", {"what": "two\nlines"})
    assert "\n" not in said.as_text()
    assert Said.parse(said.as_text()) == said
    assert json.loads(said.as_text())["kind"] == "step"


def test_skips_are_listed_with_their_reasons(bench: Bench) -> None:
    ended = bench.runs('def test_one(guest): pytest.skip("no such thing here")\n', "-rs")
    assert (ended.status, ended.counted("skipped")) == (0, 2)
    assert re.search(r"SKIPPED \[2\] .*no such thing here", ended.out)
