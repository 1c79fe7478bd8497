"""The plugin refuses a plan before anything else, and lays tests out over the memory tiers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Pytest = Callable[..., subprocess.CompletedProcess[str]]
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def suite(tmp_path: Path) -> Pytest:
    """The suite, collected and not run, by a pytest of its own."""

    def collect(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
             f"--reports={tmp_path}/reports", *arguments],
            cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return collect


def test_tests_that_look_see_every_tier_and_those_that_crash_the_first(
    suite: Pytest, tmp_path: Path
) -> None:
    collected = suite("--memory=1G,2G").stdout
    assert "test_capture_kernel_is_loaded_where_memory_is_promised[debian-12-1G]" in collected
    assert "test_capture_kernel_is_loaded_where_memory_is_promised[debian-12-2G]" in collected
    assert "test_vmcore_is_complete[debian-12-1G]" in collected
    assert "test_vmcore_is_complete[debian-12-2G]" not in collected
    assert not (tmp_path / "reports").exists()


def test_tier_beyond_the_host_is_probed_and_not_booted(suite: Pytest) -> None:
    collected = suite("--memory=1G,16T").stdout
    assert "test_kernel_alone_keeps_aside_what_the_setting_promises[debian-12-1G]" in collected
    assert "test_kernel_alone_keeps_aside_what_the_setting_promises[debian-12-16T]" in collected
    assert "test_memory_is_kept_aside_where_promised[debian-12-1G]" in collected
    assert "test_memory_is_kept_aside_where_promised[debian-12-16T]" not in collected


def test_tiers_that_cannot_be_booted_at_all_are_refused(suite: Pytest) -> None:
    refused = suite("--memory=16T")
    assert refused.returncode == 64
    assert "no tier of --memory can be booted here" in refused.stdout + refused.stderr


def test_crashes_that_cannot_be_dumped_are_judged_by_tests_of_their_own(suite: Pytest) -> None:
    both = suite("--memory=1G", "--trigger=sysrq-c,unarmed").stdout
    assert "test_vmcore_is_complete[debian-12-1G]" in both
    assert "test_vmcore_is_complete[debian-12-1G-unarmed]" not in both
    assert "test_nothing_is_called_a_dump[debian-12-1G-unarmed]" in both
    assert "test_nothing_is_called_a_dump[debian-12-1G]" not in both
    assert "test_lost_crash.py" not in suite("--memory=1G").stdout
    alone = suite("--memory=1G", "--trigger=unarmed").stdout
    assert "test_nothing_is_called_a_dump[debian-12-1G]" in alone
    assert "test_dump.py" not in alone


def test_what_the_stack_has_no_word_for_is_collected_by_name(suite: Pytest, tmp_path: Path) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text("path /srv/dumps\nextra_modules virtio_blk\n")
    asked, unasked = suite(f"--kdump-conf={conf}").stdout, suite().stdout
    assert "test_option_has_a_word_in_this_stack[extra_modules]" in asked
    assert "test_settings_are_in_force[debian-12-1G]" in asked
    assert "test_untranslated.py" not in unasked
    assert "test_configuration.py" not in unasked


def test_kernel_alone_is_not_what_the_suite_boots(suite: Pytest) -> None:
    refused = suite("--image=debian-12-arm64")
    assert refused.returncode == 64
    assert "no guest boots it" in refused.stdout + refused.stderr
    assert "kdump-verify probe --image debian-12-arm64" in refused.stdout + refused.stderr


def test_plan_that_cannot_be_carried_out_ends_the_session_with_its_reason(suite: Pytest) -> None:
    refused = suite("--vcpus=0")
    assert refused.returncode == 64
    assert "vcpus: Input should be greater than or equal to 1" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_interrupted_run_says_so_whatever_was_cut_off_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "cut_off.py").write_text("""
import signal

class HalfDone:
    def __del__(self): raise RuntimeError("cut off")

def pytest_collection_finish():
    HalfDone()
    signal.raise_signal(signal.SIGTERM)
""")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "cut_off", "-p", "no:cacheprovider", f"--reports={tmp_path}"],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Interruption: SIGTERM" in run.stdout
