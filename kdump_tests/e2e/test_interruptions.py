"""Killed at any moment: nothing survives, or the next start removes it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kdump_tests.e2e.suite_runs import Runner
from kdump_tests.guest.image import BuiltImage

# Two groups where there are two cores, each in a process of its own.
_TWO = "--memory=1G,2G"
# From before the first guest until amid a crash, wherever that lies on this host.
_MOMENTS = sorted(round(random.uniform(0.5, 55), 1) for _ in range(10))  # noqa: S311


@pytest.mark.parametrize("seconds", _MOMENTS)
def test_next_start_removes_what_a_sigkill_left(image: BuiltImage, runner: Runner, seconds: float) -> None:
    while _ended_before_it_was_killed(runner, seconds):
        seconds *= random.uniform(0.1, 0.9)  # noqa: S311 - this host is faster than was thought
    runner.command("reap")
    assert runner.left_overs() == []
    assert list(image.folder.parent.glob(".staging*")) == []


@pytest.mark.parametrize(("signals", "status"), [
    ([signal.SIGINT], 2), ([signal.SIGTERM], 2), ([signal.SIGHUP], 2), ([signal.SIGINT, signal.SIGINT], 130),
])  # fmt: skip
def test_signals_leave_nothing_even_without_a_next_start(
    image: BuiltImage, runner: Runner, signals: list[signal.Signals], status: int
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the suite would not heed it
    with runner.started(_TWO) as process:
        _await_guest(runner)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)  # a person's second Ctrl-C comes after the first was taken
        output, _ = process.communicate(timeout=60)
    assert process.returncode in {status, 2}, output
    assert runner.left_overs() == []


def test_killed_build_leaves_nothing_that_is_used_and_no_process(tmp_path: Path) -> None:
    env = {**os.environ, "KDUMP_VERIFY_CACHE": str(tmp_path)}
    build = [sys.executable, "-m", "kdump_tests", "image", "build", "debian-12"]
    with subprocess.Popen(build, env=env, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(random.uniform(3, 15))  # noqa: S311
        process.kill()
    gone_by = time.monotonic() + 10
    while _processes_naming(tmp_path) and time.monotonic() < gone_by:
        time.sleep(0.05)
    assert _processes_naming(tmp_path) == []
    subprocess.run([*build[:3], "reap"], env=env, check=True)
    assert [path.name for path in (tmp_path / "images" / "debian-12").iterdir()] == []


def _ended_before_it_was_killed(runner: Runner, seconds: float) -> bool:
    with runner.started(_TWO) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _await_guest(runner: Runner) -> None:
    until = time.monotonic() + 60
    while not list(runner.runs.glob("*/g1/files.sock")):
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(random.uniform(0, 3))  # noqa: S311


def _processes_naming(folder: Path) -> list[str]:
    processes = psutil.process_iter(["cmdline"])
    return [
        str(found) for found in processes if any(str(folder) in word for word in found.info["cmdline"] or [])
    ]
