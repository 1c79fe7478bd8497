"""The picture of what was reserved: whatever the sizes, it stays in its frame and tells the truth."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.report.chart import SERIES, Chart, chart
from kdump_tests.report.facts import PredictedSize, Reservation
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.report.stories import PREDICTION, PROBED, RESERVATION, TIB

NUMBERS = st.integers(-(2**70), 2**70)
MEMORY, KEPT = st.integers(1, 2**64), st.integers(0, 2**64)


def tier(memory: int, kept: int | None, kernel: str = "6.12") -> Reservation:
    return Reservation("a guest", memory, kept, kept, kept, kept, kernel=kernel)


def drawn(*sizes: tuple[int, int]) -> Chart:
    return chart([tier(*size) for size in sizes], None)


def labels(picture: Chart) -> tuple[list[str], list[str]]:
    return [tick.label for tick in picture.memory], [tick.label for tick in picture.reserved]


def everything_at(picture: Chart) -> list[float]:
    return [
        *(tick.at for tick in picture.memory + picture.reserved),
        *(at for line in picture.prediction for at in (line.x1, line.y1, line.x2, line.y2)),
        *(at for point in picture.points for at in (point.x, point.y)),
    ]


@given(
    st.lists(st.builds(tier, NUMBERS, st.none() | NUMBERS, st.sampled_from("abcdef")), max_size=12),
    st.none() | st.lists(st.builds(PredictedSize, NUMBERS, NUMBERS), max_size=12),
)
def test_nothing_leaves_the_frame(tiers: list[Reservation], points: list[PredictedSize] | None) -> None:
    foretold = None if points is None else replace(PREDICTION, points=tuple(points))
    picture = chart(tiers, foretold)
    assert all(0 <= at <= 100 for at in everything_at(picture))  # of NaN this is not true either
    assert all(abs(point.shift) <= 2 and 1 <= point.series <= SERIES for point in picture.points)
    assert 2 <= len(picture.memory) <= 9
    assert 3 <= len(picture.reserved) <= 10


@given(st.lists(st.tuples(MEMORY, KEPT), max_size=12))
def test_more_memory_lies_further_right_and_more_kept_further_up(sizes: list[tuple[int, int]]) -> None:
    across = sorted(drawn(*sizes).points, key=lambda point: point.reservation.memory)
    up = sorted(across, key=lambda point: point.reservation.kept or 0)
    assert all(one.x <= other.x for one, other in pairwise(across))
    assert all(one.y >= other.y for one, other in pairwise(up))


def test_each_doubling_is_as_far() -> None:
    points = drawn((GIB, 64 * MIB), (2 * GIB, 128 * MIB), (4 * GIB, 256 * MIB)).points
    assert [point.x for point in points] == [0.0, 50.0, 100.0]
    assert [point.y for point in points] == [85.0, 42.5, 0.0]


def test_nothing_reserved_lies_on_the_base_line_apart_from_the_scale() -> None:
    picture = drawn((GIB, 0), (4 * GIB, 256 * MIB))
    assert picture.reserved[0].label == "0"
    assert picture.points[0].y == picture.reserved[0].at == 100.0
    assert max(tick.at for tick in picture.reserved[1:]) == 85.0


@pytest.mark.parametrize(
    ("sizes", "across", "up"),
    [
        ([(512 * MIB, 64 * MIB), (16 * TIB, 4 * GIB)],
         ["1G", "4G", "16G", "64G", "256G", "1T", "4T", "16T"],
         ["0", "64M", "128M", "256M", "512M", "1G", "2G", "4G"]),
        ([(2 * GIB, 192 * MIB)], ["1G", "2G", "4G"], ["0", "128M", "256M"]),
        ([(GIB, 0), (2 * GIB, 0)], ["1G", "2G"], ["0", "64M", "128M", "256M"]),
        ([(1, 1), (2**64, 2**64)],
         ["1", "1K", "1M", "1G", "1T", "1P", "1E"], ["0", "1", "1K", "1M", "1G", "1T", "1P", "1E"]),
        ([], ["64M", "128M", "256M"], ["0", "64M", "128M", "256M"]),
    ],
)  # fmt: skip
def test_axes_name_powers_of_two(sizes: list[tuple[int, int]], across: list[str], up: list[str]) -> None:
    assert labels(drawn(*sizes)) == (across, up)


def test_a_prediction_is_level_up_to_its_edge_and_upright_there() -> None:
    lines = chart([], PREDICTION).prediction
    assert [line.y1 == line.y2 for line in lines] == [True, False, True, False, True]
    assert [line.x1 == line.x2 for line in lines] == [False, True, False, True, False]
    assert all((one.x2, one.y2) == (other.x1, other.y1) for one, other in pairwise(lines))
    assert (lines[0].x1, lines[0].y1, lines[-1].x2) == (0.0, 100.0, 100.0)


def test_a_tier_that_keeps_what_was_predicted_lies_on_the_line() -> None:
    picture = chart([RESERVATION], PREDICTION)
    (point,) = picture.points
    assert point.y == picture.prediction[2].y1
    assert point.x == picture.prediction[2].x1


def test_a_prediction_of_one_size_is_a_dot() -> None:
    (line,) = chart([], replace(PREDICTION, points=PREDICTION.points[:1])).prediction
    assert (line.x1, line.y1) == (line.x2, line.y2)


def test_who_says_nothing_has_no_point() -> None:
    assert chart([tier(GIB, None), tier(0, MIB), tier(-GIB, MIB)], None).points == ()


def test_points_tell_what_they_stand_for_and_the_worst_is_on_top() -> None:
    wrong = replace(RESERVATION, iomem=96 * MIB)
    assert [point.state for point in chart([wrong, RESERVATION, PROBED], None).points] == [
        *("booted", "probed", "differs"),
    ]


def test_kernels_that_keep_the_same_stand_side_by_side() -> None:
    points = chart([tier(GIB, MIB, "6.1"), tier(GIB, MIB, "6.12"), tier(GIB, 0, "6.12")], None).points
    assert [(point.shift, point.series) for point in points] == [(-0.5, 1), (0.5, 2), (0.0, 2)]


def test_kernels_beyond_the_colours_share_the_last_one() -> None:
    picture = chart([tier(GIB, MIB, kernel) for kernel in "abcdef"], None)
    assert picture.kernels == ("a", "b", "c", "other kernels")
    assert [point.series for point in picture.points] == [1, 2, 3, 4, 4, 4]
