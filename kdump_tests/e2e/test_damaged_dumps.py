"""Two hundred ways to damage the dump of a real crash, and what is said of each."""

import re
from pathlib import Path
from random import Random

import pytest

from kdump_tests.e2e.damage import FLATTENED_KINDS, IMAGE_KINDS, UNGUARDED_KINDS, Damage, Kind, reassembled
from kdump_tests.e2e.suite_runs import SuiteRun
from kdump_tests.errors import BadDump
from kdump_tests.report.facts import Dump
from kdump_tests.vmcore.inspection import inspect

each_seed = pytest.mark.parametrize("seed", range(25))


@pytest.fixture(scope="module")
def flattened(good_run: SuiteRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what kdump-tools saved."""
    assert good_run.report is not None
    (dump,) = (fact for fact in good_run.facts if isinstance(fact, Dump))
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


@pytest.mark.parametrize("kind", UNGUARDED_KINDS.values(), ids=UNGUARDED_KINDS)
def test_damage_that_no_checksum_guards_is_refused_nearly_always(plain: Path, kind: Kind) -> None:
    missed: list[Damage] = []
    for seed in range(25):
        damage = kind(plain.read_bytes(), Random(seed))  # noqa: S311 - the same damage each time
        with damage.done_to(plain):
            because = inspect(plain, pages=True).incomplete_because
        if because:
            assert re.search(damage.reason, because), because
        else:
            missed.append(damage)
    assert len(missed) <= 2, [(damage.at, len(damage.content)) for damage in missed]


@each_seed
@pytest.mark.parametrize("kind", FLATTENED_KINDS.values(), ids=FLATTENED_KINDS)
def test_damaged_flattened_dump_is_refused(flattened: Path, kind: Kind, seed: int) -> None:
    damage = kind(flattened.read_bytes(), Random(seed))  # noqa: S311 - the same damage each time
    with pytest.raises(BadDump, match=damage.reason):
        refuse(flattened, damage)
