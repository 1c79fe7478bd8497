"""Debian 13's kernel in a guest of Debian 12, as if somebody had built it: run by tox -e machines."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.image import BuiltImage
from kdump_tests.report.facts import Dump, GuestBooted

pytestmark = pytest.mark.long


def copied(image: BuiltImage, path: str, goal: Path) -> None:
    """Copy a folder of an image's disk."""
    goal.mkdir(parents=True, exist_ok=True)
    debugfs = shutil.which("debugfs") or "/usr/sbin/debugfs"
    subprocess.run([debugfs, "-R", f"rdump {path} {goal}", image.disk], check=True)


def installed(image: BuiltImage, folder: Path) -> Path:
    """What `make modules_install INSTALL_MOD_PATH=DIR` leaves: no word on how it is configured."""
    copied(image, "/usr/lib/modules", folder / "lib")
    return folder


def packaged(image: BuiltImage, folder: Path) -> Path:
    """What Debian packs of a kernel: its configuration too."""
    copied(image, "/usr/lib/modules", folder / "tree/usr/lib")
    copied(image, "/boot", folder / "tree")
    (folder / "tree/DEBIAN").mkdir()
    (folder / "tree/DEBIAN/control").write_text(
        "Package: linux-image-theirs\nVersion: 1\nArchitecture: amd64\nMaintainer: them\nDescription: it\n"
    )
    package = folder / "linux-image.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", folder / "tree", package], check=True)
    return package


@pytest.mark.parametrize("modules", [installed, packaged])
def test_kernel_of_the_users_dumps_and_a_makedumpfile_that_is_too_old_for_it_is_found_out(
    runner: Runner, tmp_path: Path, modules: Callable[[BuiltImage, Path], Path]
) -> None:
    theirs = ImageStore(default_cache()).get("debian-13")
    given = modules(theirs, tmp_path / "given")
    run = runner.run("--image=debian-12", "--memory=1G", f"--kernel={theirs.kernel}", f"--modules={given}")
    # Debian 12's makedumpfile, 1.7.2, is older than Linux 6.12 and takes some of its pages for user data.
    assert run.exit_status == 1, run.output
    assert run.tests("failed") == {"test_vmcore_keeps_what_its_dump_level_keeps"}
    assert run.tests("error") == set()
    assert "test_vmcore_is_the_crash_we_caused" in run.tests("passed")
    (booted,) = (fact for fact in run.facts if isinstance(fact, GuestBooted))
    assert booted.kernel_release == theirs.kernel_release
    (dump,) = (fact for fact in run.facts if isinstance(fact, Dump))
    assert (dump.complete, dump.kernel_release) == (True, theirs.kernel_release)
    assert runner.left_overs() == []
