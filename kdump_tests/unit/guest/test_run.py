"""A run leaves nothing, and what a killed one left is removed: that, and nothing of anybody else's."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil
import pytest

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest import run as runs
from kdump_tests.guest.cache import staging
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import dead_runs, default_base, end, new_run
from kdump_tests.unit.guest.others import python, said

RUNNER = """
import sys
from pathlib import Path
from kdump_tests.guest.run import new_run
with new_run(Path(sys.argv[1]), "qemu:///embed") as run:
    print(run.folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for runs, with a path as short as it must be."""
    with tempfile.TemporaryDirectory(prefix="kv-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def killed_run(base: Path) -> Path:
    """The folder of a run whose process was killed."""
    with python(RUNNER, base) as runner:
        return Path(said(runner))


@pytest.fixture
def start(tmp_path: Path) -> Iterator["Starter"]:
    with Starter(tmp_path) as starter:
        yield starter


class Starter:
    """Starts processes that look like QEMU, and ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
            process.communicate()

    def __call__(self, name: str, argument: str) -> psutil.Process:
        program = self._folder / name
        shutil.copy("/bin/sh", program)
        # The shell waits for its input, which does not end, and takes further words for its own.
        command = [str(program), "-c", "read nothing", argument]
        self._started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        process = psutil.Process(self._started[-1].pid)

        def attempt() -> None:
            assert argument in process.cmdline()  # for a moment after exec() there is none

        wait_until(attempt, Deadline.after(10, f"{name} runs"), retry_on=AssertionError, pause=0.001)
        return process


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_run_has_a_folder_of_its_own_while_it_lives(base: Path) -> None:
    with new_run(base, EMBEDDED) as one, new_run(base, EMBEDDED) as other:
        assert one.folder != other.folder
        assert one.folder == base / one.id
        assert one.folder.stat().st_mode & 0o777 == 0o700


def test_runs_folder_is_gone_at_the_end(base: Path) -> None:
    with new_run(base, EMBEDDED) as run:
        (run.folder / "g1").mkdir()
        (run.folder / "g1" / "root.qcow2").touch()
    assert list(base.iterdir()) == []


def test_runs_folder_is_gone_after_an_error(base: Path) -> None:
    with pytest.raises(LabError), new_run(base, EMBEDDED):
        raise LabError("no")
    assert list(base.iterdir()) == []


def test_what_still_runs_out_of_the_folder_ends_with_the_run(base: Path, start: Starter) -> None:
    with new_run(base, EMBEDDED) as run:
        left = start("qemu-system-story", f"file={run.folder}/g1/root.qcow2")
    assert not lives(left)


def test_keys_of_a_run_are_its_own(base: Path) -> None:
    with new_run(base, EMBEDDED) as one, new_run(base, EMBEDDED) as other:
        assert len({one.guest_key, one.host_key, other.guest_key, other.host_key}) == 4


def test_living_run_of_another_process_is_not_touched(base: Path, cache: Path) -> None:
    with python(RUNNER, base) as runner:
        folder = Path(said(runner))
        assert reap(base, cache).nothing
        assert folder.is_dir()


def test_living_run_of_our_own_is_not_touched(base: Path, cache: Path) -> None:
    with new_run(base, EMBEDDED) as run:
        assert reap(base, cache).nothing
        assert run.folder.is_dir()


def test_folder_of_a_killed_run_is_reaped(base: Path, cache: Path, killed_run: Path) -> None:
    assert killed_run.is_dir()
    assert reap(base, cache).runs == (killed_run.name,)
    assert list(base.iterdir()) == []
    assert reap(base, cache).nothing


def test_killed_runs_qemu_is_killed_and_named(
    base: Path, cache: Path, killed_run: Path, start: Starter
) -> None:
    left = start("qemu-system-story", f"file={killed_run}/g1/root.qcow2")
    assert reap(base, cache).processes == (f"{left.pid} qemu-system-story",)
    assert not lives(left)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("qemu-system-story", "file=/somewhere/else/root.qcow2"),
        ("qemu-system-story", "file={run}beyond/root.qcow2"),
        ("vim", "{run}/g1/console.log"),
    ],
)
def test_processes_of_others_are_not_killed(
    base: Path, cache: Path, killed_run: Path, start: Starter, name: str, argument: str
) -> None:
    others = start(name, argument.format(run=killed_run))
    assert reap(base, cache).runs == (killed_run.name,)
    assert lives(others)


def test_run_that_is_being_reaped_is_not_reaped_twice(base: Path, killed_run: Path) -> None:
    claimed = dead_runs(base)
    assert next(claimed) == (killed_run, EMBEDDED)
    assert list(dead_runs(base)) == []
    assert list(claimed) == []
    assert list(dead_runs(base)) == [(killed_run, EMBEDDED)]


def test_folder_that_is_about_to_get_its_lock_is_not_dead(base: Path) -> None:
    (base / "0123abcd").mkdir()
    assert list(dead_runs(base)) == []


def test_folder_that_never_got_its_lock_is_dead(base: Path) -> None:
    folder = base / "0123abcd"
    folder.mkdir()
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))
    assert list(dead_runs(base)) == [(folder, "")]


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", "null"])
def test_half_written_record_names_no_libvirt(base: Path, killed_run: Path, record: str) -> None:
    (killed_run / "run.json").write_text(record)
    assert list(dead_runs(base)) == [(killed_run, "")]


def test_what_a_user_keeps_beside_the_runs_is_not_touched(base: Path, cache: Path) -> None:
    (base / "photographs").mkdir()
    (base / "letter").touch()
    an_hour_ago = time.time() - 3600
    os.utime(base / "photographs", (an_hour_ago, an_hour_ago))
    assert reap(base, cache).nothing
    assert sorted(path.name for path in base.iterdir()) == ["letter", "photographs"]


def test_where_no_run_ever_was_nothing_is_reaped(base: Path, cache: Path) -> None:
    assert reap(base / "not" / "yet", cache).nothing


def test_killed_runs_libvirt_that_is_gone_too_is_no_hindrance(
    base: Path, cache: Path, killed_run: Path
) -> None:
    gone = f"qemu+unix:///system?socket={base}/gone.sock"
    (killed_run / "run.json").write_text(json.dumps({"connect": gone}))
    assert reap(base, cache).runs == (killed_run.name,)


def test_abandoned_staging_is_cleared_and_the_one_at_work_is_not(base: Path, cache: Path) -> None:
    with staging(cache / "images" / "at-work") as at_work:
        left = cache / "images" / "left" / ".staging"
        left.mkdir(parents=True)
        (cache / "locks").mkdir()
        with filelock.FileLock(cache / "locks" / "image at-work.lock"):
            assert reap(base, cache).stagings == (left,)
        assert at_work.is_dir()


def test_process_that_survives_is_the_laboratorys_error(
    base: Path, monkeypatch: pytest.MonkeyPatch, start: Starter
) -> None:
    immortal = start("qemu-system-story", f"{base}/0123abcd/root.qcow2")
    monkeypatch.setattr(runs, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(psutil.Process, "kill", lambda _process: None)
    with pytest.raises(LabError, match="survive SIGKILL") as failure:
        end(base / "0123abcd")
    assert failure.value.facts["pids"] == str(immortal.pid)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_base_that_others_can_write_to_is_refused(base: Path, cache: Path, mode: int) -> None:
    base.chmod(mode)
    with pytest.raises(BadInput, match="not a folder that only this user can write to"):
        new_run(base, EMBEDDED).__enter__()
    with pytest.raises(BadInput):
        reap(base, cache)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_base_of_somebody_else_is_refused(base: Path, cache: Path) -> None:
    os.chown(base, 65534, 65534)
    with pytest.raises(BadInput, match="not a folder that only this user can write to"):
        new_run(base, EMBEDDED).__enter__()
    with pytest.raises(BadInput):
        reap(base, cache)


def test_base_that_is_a_link_is_refused(base: Path) -> None:
    (base / "real").mkdir()
    (base / "link").symlink_to("real")
    with pytest.raises(BadInput, match="not a folder"):
        new_run(base / "link", EMBEDDED).__enter__()


def test_base_that_is_a_file_is_refused(base: Path) -> None:
    (base / "file").touch()
    with pytest.raises(BadInput, match="cannot hold runs"):
        new_run(base / "file", EMBEDDED).__enter__()


def test_base_that_leaves_no_room_for_sockets_is_refused(base: Path) -> None:
    with pytest.raises(BadInput, match="too long a path") as refusal:
        new_run(base / ("x" * 40), EMBEDDED).__enter__()
    assert "KDUMP_VERIFY_RUNS" in refusal.value.facts["way out"]


def test_user_may_choose_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_RUNS", "somewhere")
    assert default_base() == Path.cwd() / "somewhere"


def test_default_base_is_short_enough_and_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDUMP_VERIFY_RUNS", raising=False)
    assert str(os.geteuid()) in default_base().name
    assert len(str(default_base())) <= runs._LONGEST_BASE
