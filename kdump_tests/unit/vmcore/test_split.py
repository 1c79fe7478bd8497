"""The parts of a split dump are one dump, if they are all there and of one."""

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdump_tests.cli import main
from kdump_tests.errors import BadDump
from kdump_tests.unit.vmcore.dumps import PAGES, RELEASE, KdumpCompressed, flattened
from kdump_tests.vmcore.inspection import Vmcore, inspect
from kdump_tests.vmcore.split import dumps_among, inspect_parts

EDGES = (0, 4, 10, 16)


def parts(edges: Sequence[int] = EDGES, release: str = RELEASE) -> list[bytes]:
    return [KdumpCompressed(part=span, release=release).image for span in pairwise(edges)]


def written(folder: Path, images: Sequence[bytes]) -> list[Path]:
    paths = [folder / f"vmcore-{number}" for number, _ in enumerate(images)]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(image)
    return paths


def facts(core: Vmcore) -> tuple[object, ...]:
    return (core.complete, core.memory, core.compression, core.dump_level, core.vmcoreinfo, core.kernel_log)


@pytest.fixture
def whole(tmp_path: Path) -> Vmcore:
    path = tmp_path / "whole"
    path.write_bytes(KdumpCompressed().image)
    return inspect(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(edges=st.sets(st.integers(1, 15), min_size=1, max_size=5), seed=st.integers(0, 9))
def test_parts_in_any_order_are_the_dump_that_was_split(
    tmp_path: Path, whole: Vmcore, edges: set[int], seed: int
) -> None:
    paths = written(tmp_path, parts([0, *sorted(edges), 16]))
    random.Random(seed).shuffle(paths)  # noqa: S311 - the same order each time
    core = inspect_parts(paths)
    assert facts(core) == facts(whole)
    assert (core.path, core.further_parts, core.part) == (paths[0], tuple(paths[1:]), None)


def test_zeros_that_only_some_parts_have_are_told_apart(tmp_path: Path) -> None:
    """Frames 3 and 10 are zeros; the middle part has none."""
    core = inspect_parts(written(tmp_path, parts((0, 4, 10, 16))))
    assert core.memory is not None
    assert (core.memory.stored, core.memory.zeros) == (4, 2)


@pytest.mark.parametrize(
    ("given_parts", "reason"),
    [
        (lambda: parts()[1:], "up to 0 and from 4"),
        (lambda: parts()[:-1], "up to 10, not those up to 16"),
        (lambda: [parts()[0], parts()[2]], "up to 4 and from 10"),
        (lambda: [*parts(), parts()[1]], "up to 10 and from 4"),
        (
            lambda: [*parts()[:2], parts(release="6.1.0-other")[2]],
            "this part of it is not whole: its header names",
        ),
        (lambda: [*parts()[:2], KdumpCompressed({14: PAGES[14]}, part=(10, 16)).image], "other bitmaps"),
        (lambda: [*parts()[:2], parts()[2][:-1]], "this part of it is not whole"),
        (lambda: [*parts()[:2], KdumpCompressed().image], "this part of it is not whole"),
    ],
)
def test_other_sets_are_no_dump(tmp_path: Path, given_parts: object, reason: str) -> None:
    assert callable(given_parts)
    with pytest.raises(BadDump, match=reason):
        inspect_parts(written(tmp_path, given_parts()))


def test_only_parts_are_put_together(tmp_path: Path) -> None:
    one, other, whole, text = written(
        tmp_path, [*parts((0, 8, 16)), flattened(KdumpCompressed().image), b"text"]
    )
    assert dumps_among([whole, one, text, other]) == [(one, other), (whole,), (text,)]
    assert dumps_among([whole, one, text]) == [(whole,), (one,), (text,)]


def test_a_set_is_one_page_and_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(path) for path in written(tmp_path, parts())]
    assert main(["inspect", *paths]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == paths
    assert main(["inspect", "--json", *paths]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["path"], told["further_parts"], told["complete"]) == (paths[0], paths[1:], True)
    assert main(["inspect", *paths[:2]]) == 2
    assert main(["inspect", paths[0]]) == 1


def test_nothing_put_together_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    inspect_parts(written(tmp_path, parts()))
    assert list((tmp_path / "temporary").iterdir()) == []
