"""The main job on a healthy guest: everything is judged, everything passes, all of it is on record."""

import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import SuiteRun
from kdump_tests.report.facts import Analysis, Crash, Dump, GuestBooted, Reservation, RunEnded, Verdict
from kdump_tests.sizes import GIB, MIB
from kdump_tests.vmcore.inspection import inspect

_PHASES = [
    "triggered", "panic", "capture kernel started", "target mounted", "dmesg saved",
    "dump started", "dump saved", "final action", "rebooted", "login",
]  # fmt: skip


def test_kdump_works(good_run: SuiteRun) -> None:
    assert good_run.exit_status == 0, good_run.output
    assert set(good_run.outcomes) == {"passed"}, good_run.output


def test_without_debug_information_what_is_missing_is_said(good_run: SuiteRun) -> None:
    told = next(fact for fact in good_run.facts if isinstance(fact, Analysis))
    assert bool(told.not_judged) == (not _analysed(good_run))
    if told.not_judged:  # it may have been fetched into this cache
        assert "kdump-verify image debuginfo debian-12" in told.not_judged
        assert "not judged of debian-12-1G: the crashed task" in good_run.output


def test_every_memory_tier_kept_what_debian_promises(good_run: SuiteRun) -> None:
    told = [fact for fact in good_run.facts if isinstance(fact, Reservation)]
    booted = {fact.memory: fact for fact in told if not fact.probed_only}
    probed = {fact.memory: (fact.expected, fact.probe) for fact in told if fact.probed_only}
    assert sorted(booted) == sorted(probed) == [1 * GIB, 2 * GIB, 4 * GIB, 8 * GIB]
    assert {(fact.expected, fact.sysfs, fact.iomem, fact.boot_log) for fact in booted.values()} == {
        (128 * MIB,) * 4
    }
    assert set(probed.values()) == {(128 * MIB, 128 * MIB)}


def test_auto_became_the_distributions_default_and_the_report_says_so(good_run: SuiteRun) -> None:
    booted = next(fact for fact in good_run.facts if isinstance(fact, GuestBooted))
    assert (booted.crashkernel_requested, booted.crashkernel_passed) == ("auto", "384M-:128M")
    assert "does not know auto" in booted.crashkernel_because


def test_timeline_tells_every_phase_in_order(good_run: SuiteRun) -> None:
    (crash,) = (fact for fact in good_run.facts if isinstance(fact, Crash))
    assert [phase.name for phase in crash.phases] == _PHASES
    assert [phase.seconds for phase in crash.phases] == sorted(phase.seconds for phase in crash.phases)
    assert crash.boot_id_after not in {None, crash.boot_id_before}


def test_report_is_whole(good_run: SuiteRun) -> None:
    assert good_run.report is not None
    guest = good_run.report / "guests" / "debian-12-1G"
    for name in ("console.log", "domain.xml", "commands.log", "boot.log"):
        assert (guest / name).stat().st_size > 0, name
    checks = 46 + len(_analysed(good_run))
    assert len(list(good_run.junit.iter("testcase"))) == len(good_run.outcomes) == checks
    assert isinstance(good_run.facts[-1], RunEnded)


def test_page_needs_no_network(good_run: SuiteRun) -> None:
    assert good_run.report is not None
    targets = _Targets()
    targets.feed((good_run.report / "index.html").read_text())
    assert targets.found
    assert [target for target in targets.found if "//" in target] == []


def test_nothing_secret_and_no_dump_is_readable_by_others(good_run: SuiteRun) -> None:
    for copy in _copies(good_run):
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [0.001, 0.2, 0.5, 0.9, 0.999, 0.9999999])
def test_the_same_dump_cut_short_is_never_complete(good_run: SuiteRun, tmp_path: Path, kept: float) -> None:
    whole = max(_copies(good_run), key=lambda copy: copy.stat().st_size)
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * kept)])
    assert not inspect(cut).complete


def _analysed(run: SuiteRun) -> list[Verdict]:
    verdicts = [fact for fact in run.facts if isinstance(fact, Verdict)]
    return [verdict for verdict in verdicts if "test_dump_analysis.py" in verdict.test]


def _copies(run: SuiteRun) -> list[Path]:
    assert run.report is not None
    (dump,) = (fact for fact in run.facts if isinstance(fact, Dump))
    return [run.report / file.local for file in dump.files]


class _Targets(HTMLParser):
    """Everything that a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        self.found += [value or "" for name, value in attrs if name in {"href", "src"}]
