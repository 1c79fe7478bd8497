"""Fixtures of the end-to-end tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.laboratory import Places, opened


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """Runs that nobody else sees, and that leave nothing."""
    yield from _runner(tmp_path)


@pytest.fixture(scope="module")
def module_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The same, for the one run of a module."""
    yield from _runner(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="session")
def good_run(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRun]:
    """The main job as it is, once for all tests."""
    for runner in _runner(tmp_path_factory.mktemp("good")):
        run = runner.run()
        assert runner.left_overs() == []
        yield run


@pytest.fixture(scope="session")
def image() -> BuiltImage:
    """The embedded default, built if this is the first to ask for it."""
    return ImageStore(default_cache()).get("debian-12")


@pytest.fixture(scope="session")
def opened_lab() -> Iterator[tuple[Lab, BuiltImage]]:
    """For guests of the tests' own process, which can open libvirt's embedded driver in one folder alone."""
    base = Path(f"/var/tmp/kv-e2e-lab-{os.getpid()}")  # noqa: S108
    with opened(Places(default_cache(), base), "debian-12", "auto", EMBEDDED) as lab_and_image:
        yield lab_and_image
    left = list(base.iterdir())
    shutil.rmtree(base)
    assert left == []


def _runner(folder: Path) -> Iterator[Runner]:
    # A short path, as sockets lie below it.
    runs = Path(f"/var/tmp/kv-e2e-{os.getpid()}")  # noqa: S108
    shutil.rmtree(runs, ignore_errors=True)
    runner = Runner(runs, folder / "reports")
    yield runner
    if runner.left_overs():  # of a test that failed, or was interrupted itself
        runner.command("reap")
    shutil.rmtree(runs, ignore_errors=True)
