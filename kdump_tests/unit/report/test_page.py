"""The page answers first, and tells everything that is known."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from kdump_tests.report.facts import Crash, Fact, PhaseReached
from kdump_tests.report.page import render_page
from kdump_tests.report.timeline import bars
from kdump_tests.sizes import MIB
from kdump_tests.unit.report.stories import (
    BROKEN,
    CRASH,
    ENDED,
    FAILED,
    GUEST,
    KILLED,
    RESERVATION,
    SKIPPED,
    WORKING,
)


def read(page: str) -> str:
    """What a person reads: no style, no tags, single spaces."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.mark.parametrize(
    ("facts", "word"), [(WORKING, "Yes"), (BROKEN, "No"), (KILLED, "Not known"), ((), "Not known")]
)
def test_answer_stands_first(facts: tuple[Fact, ...], word: str) -> None:
    page = read(render_page(facts))
    assert page.startswith(f"{word} · kdump-verify")
    assert f"will there be a usable vmcore in the morning? {word} " in page


def test_killed_run_says_so_and_shows_what_was_known() -> None:
    page = read(render_page(KILLED))
    assert "Running or killed." in page
    assert f"Last step done: {GUEST}: boot, 2026-11-23 09:39:14 UTC" in page
    assert "dump saved 14.8 s" in page


def test_ended_run_does_not_call_itself_killed() -> None:
    assert "Running or killed" not in read(render_page(WORKING))


@pytest.mark.parametrize(
    "words",
    [
        "image debian-13 kernel 6.12.57+deb13-amd64 memory 2 GiB, 2 CPUs",
        "crashkernel= auto → 192M auto is unknown to this kernel; Debian's own default instead",
        "2 GiB 192 MiB 192 MiB 192 MiB \N{EN DASH} ✓ yes",
        "login debian-13 login: 16.8 s 31.6 s",
        "dmesg.202611230942 59.8 KiB 0600 root",
        "complete ✓ yes panic sysrq triggered crash",
        "kvm: /dev/kvm opens",
        "1 step",
        "pytest --image debian-13",
    ],
)
def test_page_tells_what_is_known(words: str) -> None:
    assert words in read(render_page(WORKING))


def test_failure_is_shown_with_its_whole_message() -> None:
    assert f"<pre>{html.escape(FAILED.message)}</pre>" in render_page(BROKEN)


def test_checks_that_fail_alike_share_one_message() -> None:
    twice = render_page((FAILED, replace(FAILED, test="t.py::test_dmesg_is_saved"), ENDED))
    assert twice.count("the vmcore is truncated\n") == 1
    assert "2 of 2 checks failed" in read(twice)
    assert "dmesg is saved" in read(twice)


def test_skip_is_shown_with_its_reason() -> None:
    assert "no debug symbols" in read(render_page((SKIPPED, ENDED)))


def test_witness_that_differs_is_marked() -> None:
    page = render_page((replace(RESERVATION, iomem=96 * MIB),))
    assert 'differs">96 MiB' in page
    assert "✗ no" in read(page)


def test_one_witness_alone_agrees_with_nobody() -> None:
    assert replace(RESERVATION, sysfs=None, iomem=None).agree is None


def test_logs_are_linked_when_they_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "guests" / GUEST
    folder.mkdir(parents=True)
    (folder / "console 100%.log").write_text("hello")
    (folder / "secret").symlink_to("/etc/hostname")
    page = render_page(WORKING, tmp_path)
    assert f'href="guests/{GUEST}/console%20100%25.log"' in page
    assert "secret" not in page


def test_guest_that_never_booted_has_its_console_linked(tmp_path: Path) -> None:
    (tmp_path / "guests" / GUEST).mkdir(parents=True)
    (tmp_path / "guests" / GUEST / "console.log").write_text("no bootable device")
    assert f'href="guests/{GUEST}/console.log"' in render_page((FAILED,), tmp_path)


def test_page_names_no_other_place() -> None:
    assert not re.findall(r"https?:|//[a-z]|url\(|@import", render_page(WORKING))


def crash_at(*seconds: float) -> Crash:
    return replace(CRASH, phases=tuple(PhaseReached("phase", at, "") for at in seconds))


def test_bars_follow_each_other() -> None:
    drawn = [(bar.left, bar.width, bar.took) for bar in bars(crash_at(2.0, 5.0, 10.0))]
    assert drawn == [(0.0, 20.0, 2.0), (20.0, 30.0, 3.0), (50.0, 50.0, 5.0)]


@pytest.mark.parametrize("seconds", [(), (0.0,), (-0.1, 0.0), (5.0, 4.9, 6.0)])
def test_bars_stay_in_the_picture(seconds: tuple[float, ...]) -> None:
    drawn = bars(crash_at(*seconds))
    assert all(0 <= bar.left <= bar.left + bar.width <= 100.001 and bar.took >= 0 for bar in drawn)


def test_only_the_end_of_a_failed_crash_is_bad() -> None:
    failed = replace(crash_at(1.0, 2.0), failure="nothing was saved")
    assert [bar.bad for bar in bars(failed)] == [False, True]
    assert [bar.bad for bar in bars(crash_at(1.0, 2.0))] == [False, False]
