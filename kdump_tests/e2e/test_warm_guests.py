"""Saved states with real guests: made once, shared, and never trusted when they are broken."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.image import BuiltImage
from kdump_tests.report.facts import GuestBooted, Note, StepDone

# No crash: what is looked at here is how the guest comes to be.
_LOOK = ("--memory=1G", "-k", "service or reservation")
_FORK, _COLD = "fork of a saved state", "cold boot"


@dataclass(frozen=True)
class Warm:
    """A cache with the images of the real one, and saved states of its own."""

    cache: Path
    runner: Runner

    @property
    def env(self) -> dict[str, str]:
        return {"KDUMP_VERIFY_CACHE": str(self.cache)}

    @property
    def states(self) -> list[Path]:
        return sorted(self.cache.glob("states/*/state"))

    def run(self, *arguments: str) -> SuiteRun:
        ended = self.runner.run(*(arguments or _LOOK), env=self.env)
        assert self.runner.left_overs() == []
        assert list(self.cache.glob("states/*/.staging")) == []
        return ended


def origin(run: SuiteRun) -> tuple[str, str]:
    assert run.exit_status == 0, run.output
    (booted,) = (fact for fact in run.facts if isinstance(fact, GuestBooted))
    return booted.origin, booted.origin_because


def steps(run: SuiteRun) -> list[str]:
    return [fact.what for fact in run.facts if isinstance(fact, StepDone)]


@pytest.fixture(scope="module")
def cache(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States last for the module, so that each story needs no more cold boots than it tells of."""
    folder = tmp_path_factory.mktemp("cache")
    assert image.folder.exists()
    for name in ("images", "host", "kernels", "libvirt"):
        if (default_cache() / name).is_dir():
            (folder / name).symlink_to(default_cache() / name)
    return folder


@pytest.fixture
def warm(cache: Path, runner: Runner) -> Warm:
    return Warm(cache, runner)


def test_two_runs_at_once_share_one_cold_boot(warm: Warm) -> None:
    runners = [
        replace(warm.runner, runs=Path(f"{warm.runner.runs}-{n}"), reports=warm.cache / f"r{n}")
        for n in (1, 2)
    ]
    with (
        runners[0].started(*_LOOK, env=warm.env) as one,
        runners[1].started(*_LOOK, env=warm.env) as other,
    ):
        ended = [
            SuiteRun(-1, process.communicate(timeout=900)[0], (runner.reports / "last").resolve())
            for runner, process in zip(runners, (one, other), strict=True)
        ]
    assert (one.returncode, other.returncode) == (0, 0), ended
    ended = [replace(run, exit_status=0) for run in ended]
    assert [origin(run)[0] for run in ended] == [_FORK, _FORK]
    assert [steps(run).count("saving the armed guest") for run in ended].count(1) == 1
    assert sum(steps(run).count("booting") for run in ended) == 1
    assert len(warm.states) == 1
    assert [runner.left_overs() for runner in runners] == [[], []]
    for runner in runners:
        runner.runs.rmdir()


def test_a_truncated_state_is_made_anew_and_the_report_says_so(warm: Warm) -> None:
    (state,) = warm.states
    os.truncate(state / "memory", (state / "memory").stat().st_size // 2)
    kind, because = origin(warm.run())
    assert (kind, because.partition("; ")[2]) == (_FORK, "the one found before was damaged")


def test_a_state_that_does_not_restore_is_thrown_away_and_the_guest_boots_cold(warm: Warm) -> None:
    (state,) = warm.states
    # The size is right, and the machine in it is none.
    with (state / "memory").open("r+b") as memory:
        memory.seek(64 * 1024)
        memory.write(os.urandom(16 * 1024 * 1024))
    kind, because = origin(warm.run())
    assert kind == _COLD
    assert because.startswith("its saved state was thrown away: ")
    assert warm.states == []


def test_a_full_disk_keeps_no_state_and_stops_no_run(warm: Warm) -> None:
    place = warm.cache / "states"
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64M,mode=700", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this host does not let us mount a small file system")
    try:
        kind, because = origin(warm.run())
        assert kind == _COLD
        assert because.startswith("it could not be saved: not enough disk space for the saved state")
        assert warm.states == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_cold_is_cold(warm: Warm) -> None:
    run = warm.run(*_LOOK, "--cold", "--kernel-argument=systemd.mask=systemd-logind.service")
    assert origin(run) == (_COLD, "asked for")
    assert warm.states == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: groups run one after the other")
def test_a_group_whose_process_is_killed_runs_once_more(runner: Runner) -> None:
    two = ("--memory=1G,2G", "-k", "service or reservation")
    with runner.started(*two) as process:
        victim = next(iter(_groups_of(process.pid)))
        victim.kill()
        output, _ = process.communicate(timeout=900)
    run = SuiteRun(process.returncode, output, (runner.reports / "last").resolve())
    assert run.exit_status == 0, output
    notes = [fact.text for fact in run.facts if isinstance(fact, Note)]
    assert notes == ["its process died of signal 9; what was not judged by then runs once more"]
    assert set(run.outcomes) == {"passed"}
    assert len(run.outcomes) == 12
    assert run.report is not None
    assert len(list((run.report / "guests").glob("*-attempt-2"))) == 1
    assert runner.left_overs() == []


def _groups_of(controller: int) -> Iterator[psutil.Process]:
    """The processes of its groups, once one of them has started a guest."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for process in psutil.Process(controller).children():
            with suppress(psutil.Error):  # it ends meanwhile
                connected = process.net_connections("unix") if "pytest" in process.cmdline() else []
                if any("files.sock" in str(connection.laddr) for connection in connected):
                    yield process
        time.sleep(0.02)
    raise AssertionError("no group has started a guest")
