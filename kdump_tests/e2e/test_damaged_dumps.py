"""Two hundred ways to damage the dump of a real crash, and what is said of each."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from kdump_tests.crash.crash import Crash, Dump
from kdump_tests.crash.planted import Planted
from kdump_tests.crash.timeline import Timeline
from kdump_tests.crash.trigger import Trigger
from kdump_tests.e2e.damage import (
    BLOCK,
    FLATTENED_KINDS,
    IMAGE_KINDS,
    PAGE_KINDS,
    Damage,
    Kind,
    only_in_raw_pages,
    reassembled,
)
from kdump_tests.e2e.suite_runs import SuiteRun
from kdump_tests.errors import BadDump
from kdump_tests.guest.facts import KernelFacts
from kdump_tests.report import facts
from kdump_tests.verification import test_dump as suite
from kdump_tests.vmcore.inspection import inspect

each_seed = pytest.mark.parametrize("seed", range(25))


@pytest.fixture(scope="module")
def flattened(good_run: SuiteRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what kdump-tools saved."""
    assert good_run.report is not None
    (dump,) = (fact for fact in good_run.facts if isinstance(fact, facts.Dump))
    saved = max((good_run.report / file.local for file in dump.files), key=lambda file: file.stat().st_size)
    copy = tmp_path_factory.mktemp("flattened") / "vmcore"
    copy.write_bytes(saved.read_bytes())
    return copy


@pytest.fixture(scope="module")
def plain(flattened: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same dump, not flattened."""
    path = tmp_path_factory.mktemp("plain") / "vmcore"
    path.write_bytes(reassembled(flattened.read_bytes()))
    return path


def refuse(path: Path, damage: Damage) -> None:
    with damage.done_to(path):
        because = inspect(path, pages=True).incomplete_because
    if because:
        raise BadDump(because)


def test_undamaged_dump_is_complete(flattened: Path, plain: Path) -> None:
    assert inspect(flattened, pages=True).complete
    assert inspect(plain, pages=True).complete


@each_seed
@pytest.mark.parametrize("kind", IMAGE_KINDS.values(), ids=IMAGE_KINDS)
def test_damaged_dump_is_refused(plain: Path, kind: Kind, seed: int) -> None:
    damage = kind(plain.read_bytes(), Random(seed))  # noqa: S311 - the same damage each time
    with pytest.raises(BadDump, match=damage.reason):
        refuse(plain, damage)


@each_seed
@pytest.mark.parametrize("kind", PAGE_KINDS.values(), ids=PAGE_KINDS)
def test_damaged_pages_are_refused_unless_any_bytes_are_a_page_there(
    plain: Path, kind: Kind, seed: int
) -> None:
    damage = kind(plain.read_bytes(), Random(seed))  # noqa: S311 - the same damage each time
    if only_in_raw_pages(plain.read_bytes(), damage):
        pytest.skip("only pages that did not compress are damaged, and the format has no sum of those")
    with pytest.raises(BadDump, match=damage.reason):
        refuse(plain, damage)


def test_most_damaged_pages_are_refused(plain: Path) -> None:
    """So that the test before does not skip what it should judge: raw pages are few."""
    image = plain.read_bytes()
    damages = [kind(image, Random(seed)) for kind in PAGE_KINDS.values() for seed in range(25)]  # noqa: S311
    assert sum(only_in_raw_pages(image, damage) for damage in damages) <= 5


@pytest.mark.parametrize("level", [1, 16])
def test_a_dump_of_which_pages_are_lost_is_refused(plain: Path, level: int) -> None:
    """Its header says another level than the one that it was filtered by: what that keeps is not there."""
    damage = Damage("second bitmap contradicts its memory map", BLOCK + 8, level.to_bytes(4, "little"))
    with pytest.raises(BadDump, match=damage.reason):
        refuse(plain, damage)


@pytest.mark.parametrize(
    "test",
    [
        suite.test_vmcore_is_of_the_moment_of_the_panic,
        suite.test_vmcore_is_the_crash_we_caused,
        suite.test_kernel_log_is_of_the_time_when_the_nonce_was_written,
    ],
)
def test_a_whole_dump_of_another_crash_is_refused(plain: Path, test: Callable[[Crash], None]) -> None:
    """The same kernel's, of a minute ago, in the place of the dump that this crash should have left."""
    core = inspect(plain)
    assert core.crash_time is not None
    crash = Crash(
        guest="debian-12-1G",
        trigger=Trigger.SYSRQ_C,
        cpu=None,
        kernel=KernelFacts(str(core.kernel_release), str(core.build_id), "", ""),
        planted=Planted("kdump-verify nonce of this crash", b"", 0, 20.0),
        guest_time=core.crash_time + 60,
        services=(),
        capture_log=(),
        timeline=Timeline((), (), None, "", ""),
        boot_id_after=None,
        new_directories=(),
        log_folder=plain.parent,
        _dump=cast(Dump, SimpleNamespace(vmcore=core)),
    )
    suite.test_vmcore_is_of_the_kernel_that_ran(crash)
    with pytest.raises((AssertionError, BadDump)):
        test(crash)


@each_seed
@pytest.mark.parametrize("kind", FLATTENED_KINDS.values(), ids=FLATTENED_KINDS)
def test_damaged_flattened_dump_is_refused(flattened: Path, kind: Kind, seed: int) -> None:
    damage = kind(flattened.read_bytes(), Random(seed))  # noqa: S311 - the same damage each time
    with pytest.raises(BadDump, match=damage.reason):
        refuse(flattened, damage)
