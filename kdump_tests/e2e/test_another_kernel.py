"""Debian 13's kernel in a guest of Debian 12, as if somebody had built it: run by tox -e machines."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.report.facts import Dump, GuestBooted

pytestmark = pytest.mark.long


def test_kdump_works_with_a_kernel_of_the_users(runner: Runner, tmp_path: Path) -> None:
    theirs = ImageStore(default_cache()).get("debian-13")
    modules = tmp_path / "modules"
    (modules / "lib").mkdir(parents=True)
    debugfs = shutil.which("debugfs") or "/usr/sbin/debugfs"
    subprocess.run([debugfs, "-R", f"rdump /usr/lib/modules {modules}/lib", theirs.disk], check=True)
    run = runner.run("--image=debian-12", "--memory=1G", f"--kernel={theirs.kernel}", f"--modules={modules}")
    assert run.exit_status == 0, run.output
    (booted,) = (fact for fact in run.facts if isinstance(fact, GuestBooted))
    assert booted.kernel_release == theirs.kernel_release
    (dump,) = (fact for fact in run.facts if isinstance(fact, Dump))
    assert (dump.complete, dump.kernel_release) == (True, theirs.kernel_release)
    assert runner.left_overs() == []
