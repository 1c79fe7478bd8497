"""A report is there whatever happens to the run."""

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdump_tests.errors import CannotWrite, NoSpace
from kdump_tests.report import folder
from kdump_tests.report.facts import as_line, read_facts
from kdump_tests.report.folder import Report
from kdump_tests.report.junit import junit
from kdump_tests.report.page import render_page
from kdump_tests.unit.report.stories import GUEST, KILLED, PASSED, STARTED, STEP, WORKING


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report.create(tmp_path / "reports", STARTED)


def test_folder_is_named_after_time_and_run(report: Report) -> None:
    assert report.folder.name == "2026-11-23-093856-8f3a"


def test_report_is_whole_from_its_first_moment(report: Report) -> None:
    assert {path.name for path in report.folder.iterdir()} == {"results.jsonl", "junit.xml", "index.html"}
    assert read_facts(report.folder / "results.jsonl") == report.facts == (STARTED,)


def test_a_report_is_never_overwritten(report: Report) -> None:
    other = Report.create(report.folder.parent, STARTED)
    assert other.folder.name == "2026-11-23-093856-8f3a-2"
    other.record(PASSED)
    assert read_facts(report.folder / "results.jsonl") == (STARTED,)


def test_last_is_a_relative_link_to_the_newest(report: Report) -> None:
    last = report.folder.parent / "last"
    assert last.readlink() == Path(report.folder.name)
    newer = Report.create(report.folder.parent, STARTED)
    assert last.readlink() == Path(newer.folder.name)
    assert {path.name for path in last.parent.iterdir()} == {"last", report.folder.name, newer.folder.name}


def test_last_that_is_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    with pytest.raises(CannotWrite, match="Is a directory"):
        Report.create(tmp_path, STARTED)
    assert (tmp_path / "last").is_dir()
    assert not list(tmp_path.glob(".last*"))


def test_everything_recorded_can_be_read_and_rendered_again(report: Report) -> None:
    for fact in WORKING[1:]:
        report.record(fact)
    facts = read_facts(report.folder / "results.jsonl")
    assert facts == WORKING
    assert render_page(facts, report.folder) == report.page.read_text("utf-8")
    assert junit(facts) == (report.folder / "junit.xml").read_bytes()


def test_a_step_is_kept_and_redraws_nothing(report: Report) -> None:
    before = report.page.stat()
    report.record(STEP)
    assert report.page.stat().st_ino == before.st_ino
    assert read_facts(report.folder / "results.jsonl") == (STARTED, STEP)


def test_guest_has_a_folder_inside_the_report(report: Report) -> None:
    assert report.guest_folder(GUEST) == report.folder / "guests" / GUEST
    assert report.guest_folder("../../etc").parent == report.folder / "guests"
    assert report.guest_folder("../../etc").is_dir()


def test_threads_do_not_tear_lines(report: Report) -> None:
    def work() -> None:
        for _ in range(50):
            report.record(STEP)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert read_facts(report.folder / "results.jsonl") == (STARTED, *[STEP] * 400)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Writes stop in the middle, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 30, len(as_line(STEP)) - 1])
def test_a_fact_that_finds_no_room_leaves_no_part_of_it(report: Report, room: int) -> None:
    lines = report.folder / "results.jsonl"
    before = lines.read_bytes()
    with no_file_above(len(before) + room), pytest.raises(CannotWrite, match="File too large"):
        report.record(STEP)
    assert lines.read_bytes() == before
    report.record(PASSED)
    assert read_facts(lines) == (STARTED, PASSED) == report.facts


@pytest.mark.parametrize("file", [".index.html.new", ".junit.xml.new"])
def test_a_full_disk_is_named_and_takes_no_fact_back(report: Report, file: str) -> None:
    page = report.page.read_bytes()
    (report.folder / file).symlink_to("/dev/full")
    with pytest.raises(NoSpace, match="No space left on device"):
        report.record(PASSED)
    assert read_facts(report.folder / "results.jsonl") == (STARTED, PASSED)
    assert report.page.read_bytes() == page


def test_vanished_folder_is_the_laboratorys_fault(report: Report) -> None:
    report.folder.rename(report.folder.with_name("elsewhere"))
    with pytest.raises(CannotWrite, match="cannot be written: No such file"):
        report.record(PASSED)


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from kdump_tests.report.folder import Report
from kdump_tests.unit.report.stories import KILLED
report = Report.create(Path(sys.argv[1]), KILLED[0])
for fact in KILLED[1:]:
    report.record(fact)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_run_leaves_all_it_knew(tmp_path: Path) -> None:
    root = Path(folder.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", KILLED_RUN, tmp_path], cwd=root, timeout=60, check=False)
    assert run.returncode == -signal.SIGKILL
    assert read_facts(tmp_path / "last" / "results.jsonl") == KILLED
    assert "Running or killed" in (tmp_path / "last" / "index.html").read_text("utf-8")
