"""The page answers first, and tells everything that is known."""

import html
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdump_tests.report.facts import Crash, Fact, PhaseReached
from kdump_tests.report.page import render_page
from kdump_tests.report.timeline import bars
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.report.stories import (
    ANALYSIS,
    BROKEN,
    CRASH,
    ENDED,
    FAILED,
    FINDING,
    GUEST,
    KERNEL,
    KILLED,
    PREDICTION,
    PROBE_PASSED,
    PROBED,
    RESERVATION,
    SKIPPED,
    TIERS,
    WORKING,
)

DASH = "\N{EN DASH}"


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


def test_the_page_tells_what_the_kernel_died_of_and_whose_word_that_is() -> None:
    told = replace(CRASH, last_words="NMI: Not continuing", task="swapper/0 (PID 0) on CPU 0")
    heard, noted = (
        read(render_page([replace(told, read_in=where)])) for where in ("console", "dump's kernel log")
    )
    assert "It died of NMI: Not continuing in swapper/0 (PID 0) on CPU 0, by its console." in heard
    assert "by its dump's kernel log; its console showed nothing of that" in noted


def test_a_failure_that_was_foreseen_is_none() -> None:
    lost = replace(CRASH, failure="no capture kernel took over", foreseen="no capture kernel took over")
    assert "✗ no capture kernel took over" not in read(render_page([lost]))
    assert "There can be no dump: no capture kernel took over." in read(render_page([lost]))
    assert "✗ the machine hangs" in read(render_page([replace(lost, failure="the machine hangs")]))


def test_ended_run_does_not_call_itself_killed() -> None:
    assert "Running or killed" not in read(render_page(WORKING))


@pytest.mark.parametrize(
    "words",
    [
        "image debian-13 kernel 6.12.57+deb13-amd64 memory 2 GiB, 2 CPUs",
        "crashkernel= auto → 192M auto is unknown to this kernel; Debian's own default instead",
        f"2 GiB booted 192 MiB 192 MiB 192 MiB {DASH} {DASH} {DASH} ✓ yes",
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


def rows(page: str) -> list[str]:
    """What the rows of all tables say."""
    return [read(row) for row in re.findall(r"<tr>.*?</tr>", page, flags=re.DOTALL)]


def picture(page: str) -> ET.Element:
    """The picture of the reservations, which is XML as well."""
    (text,) = re.findall(r'<svg class="chart".*?</svg>\s*<figcaption>', page, flags=re.DOTALL)
    return ET.fromstring(text.removesuffix("<figcaption>"))  # noqa: S314 - ours, which is what is tested


def points(page: str) -> list[tuple[str, str]]:
    """The mark of every point in the picture, and what it says of itself."""
    return [
        (mark.get("class", ""), " ".join((title.text or "").split()))
        for title, mark in picture(page).iterfind("svg/g")
    ]


def test_witness_that_differs_is_marked() -> None:
    page = render_page((replace(RESERVATION, iomem=96 * MIB),))
    assert 'differs">96 MiB' in page
    assert "✗ no" in read(page)


def test_more_than_the_least_that_will_do_is_not_marked() -> None:
    page = render_page((PROBED,))
    assert 'differs">' not in page
    assert f"16 TiB probed only at least 512 MiB {DASH} {DASH} {DASH} 768 MiB 256 MiB ✓ yes" in rows(page)


def test_tiers_have_a_row_each_by_memory_whether_they_ran_or_not() -> None:
    page = rows(render_page((PROBED, *WORKING)))
    booted, probed = (row for row in page if " MiB " in row and row.endswith("✓ yes"))
    assert booted == f"2 GiB booted 192 MiB 192 MiB 192 MiB {DASH} {DASH} {DASH} ✓ yes"
    assert probed.startswith("16 TiB probed only at least 512 MiB")


def test_tiers_have_a_point_each() -> None:
    assert points(render_page((*TIERS, replace(RESERVATION, memory=4 * GIB, sysfs=96 * MIB)))) == [
        ("kernel-1", f"2 GiB, booted, {KERNEL}: 192 MiB reserved, expected 192 MiB"),
        (
            "hollow kernel-1",
            f"16 TiB, probed only, {KERNEL}: 768 MiB reserved, expected at least 512 MiB",
        ),
        ("cross", f"4 GiB, booted, {KERNEL}: 192 MiB reserved, expected 192 MiB: these disagree"),
    ]


def test_tier_that_was_probed_and_booted_has_one_row_of_both() -> None:
    alone = replace(RESERVATION, sysfs=None, iomem=None, boot_log=None, probe=RESERVATION.iomem)
    (row,) = (row for row in rows(render_page((alone, RESERVATION))) if row.endswith("✓ yes"))
    assert row == f"2 GiB booted 192 MiB 192 MiB 192 MiB {DASH} 192 MiB {DASH} ✓ yes"


def test_what_linux_6_1_leaves_out_is_no_disagreement() -> None:
    """Its kexec_crash_size counts the main piece alone, its boot log whole MiB."""
    kept = 512 * MIB + 256 * MIB + 1
    told = replace(
        RESERVATION, expected=kept, iomem=kept, sysfs=512 * MIB + 1, boot_log=768 * MIB, low=256 * MIB
    )
    assert told.agree
    assert not replace(told, boot_log=767 * MIB).agree
    assert not replace(told, sysfs=256 * MIB).agree


def test_picture_says_what_it_shows_to_who_cannot_see_it() -> None:
    svg = picture(render_page(TIERS))
    described = [element.get("id", "") for element in svg if element.tag in {"title", "desc"}]
    assert svg.get("aria-labelledby") == " ".join(described)
    assert "2 tiers, some of them only probed, and a line for what was predicted." in (
        " ".join((svg.findtext("desc") or "").split())
    )


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=())))
def test_picture_is_xml_whatever_a_kernel_calls_itself(name: str) -> None:
    foretold = replace(PREDICTION, kernel=name, crashkernel=name, because=name)
    page = render_page((foretold, replace(RESERVATION, kernel=name), replace(PROBED, kernel=f"{name}2")))
    tags = {element.tag for element in picture(page).iter()}
    assert tags == {"svg", "title", "desc", "line", "text", "g", "circle"}


def test_prediction_is_told_with_what_it_is_for() -> None:
    told = f"predicted for crashkernel={PREDICTION.crashkernel} on {KERNEL}: the ranges as written"
    assert told in read(render_page(WORKING))
    assert "predicted" not in read(render_page([fact for fact in WORKING if fact != PREDICTION]))


def test_reason_for_expecting_nothing_stands_once_for_all_tiers() -> None:
    silent = replace(RESERVATION, expected=None, because="no policy knows auto")
    page = read(render_page((silent, replace(silent, memory=4 * GIB))))
    assert "Nothing is expected on 2 GiB, 4 GiB: no policy knows auto" in page


def test_kernels_are_told_apart_when_there_are_several() -> None:
    page = read(render_page((RESERVATION, replace(RESERVATION, kernel="6.1.0"))))
    assert f"booted {KERNEL} 6.1.0" in page
    assert f"2 GiB booted {KERNEL} 192 MiB" in page


def test_a_tier_that_was_only_probed_is_no_guest_without_boots() -> None:
    page = render_page(TIERS)
    assert rows(page)[2] == f"{PROBED.guest} probed only 16 TiB 768 MiB {DASH}"
    assert f"<h2>{PROBED.guest}</h2>" not in page
    assert f'<a href="#reserved">{PROBED.guest}</a>' in page


@pytest.mark.parametrize("facts", [TIERS, (PROBED, PROBE_PASSED), (replace(RESERVATION, guest=""),)])
def test_every_link_within_the_page_leads_somewhere(facts: tuple[Fact, ...]) -> None:
    page = render_page(facts)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(re.findall(r' id="([^"]*)"', page))


def test_logs_of_a_probed_tier_are_linked_too(tmp_path: Path) -> None:
    (tmp_path / "guests" / PROBED.guest).mkdir(parents=True)
    (tmp_path / "guests" / PROBED.guest / "probe.log").write_text("crashkernel reserved")
    assert f'href="guests/{PROBED.guest}/probe.log"' in render_page((PROBED,), tmp_path)


def test_a_run_without_reservations_has_no_place_for_them() -> None:
    assert 'id="reserved"' not in render_page((FAILED, ENDED))


def test_a_hundred_tiers_are_a_page() -> None:
    tiers = [replace(RESERVATION, guest=f"tier {number}", memory=number * GIB) for number in range(1, 101)]
    assert len(points(render_page(tiers))) == 100


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


def test_what_a_judge_says_is_folded_and_escaped() -> None:
    hostile = replace(ANALYSIS.sections[0], text="</pre><script>alert(1)</script>\x1b[2J")
    page = render_page([*WORKING, replace(ANALYSIS, sections=(hostile,))])
    assert "<h3>Analysis by drgn 0.3.0</h3>" in page
    assert "<summary>backtrace</summary><pre>&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;</pre>" in page
    assert 'href="guests/debian-13-2G/crash.log"' in page


def test_what_could_not_be_judged_is_said() -> None:
    page = render_page([*WORKING, replace(ANALYSIS, not_judged="the tasks: no vmlinux was found")])
    assert "<dt>not judged</dt><dd>the tasks: no vmlinux was found</dd>" in page


def test_trouble_of_a_capture_that_succeeded_is_told_with_its_line() -> None:
    page = render_page([*WORKING, FINDING])
    assert "Captured, but: a disk failed to read or write" in page
    assert "I/O error, dev vda, sector 179656" in page
    assert "since dump saved, 6 lines" in page
