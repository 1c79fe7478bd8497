"""Memory reserved against memory, as a picture: where things lie, in percent of its width and height.

Both scales are logarithms to base 2, as memory sizes come. Zero has no logarithm: it has a line of its
own at the bottom, apart from the scale.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from kdump_tests.report.facts import Prediction, Reservation
from kdump_tests.sizes import format_size

State = Literal["booted", "probed", "differs"]

SERIES = 4
"""How many kernels have a colour of their own; the last one is shared by all the others."""

_MOST_TICKS = 8  # labels like 256G, side by side on a phone
_STEPS = (1, 2, 5, 10)  # each divides 10, which is from 1M to 1G to 1T: these are always named
_LARGEST = 1 << 64  # no machine has more; a damaged line of results.jsonl can say so
_ZERO, _ABOVE_ZERO = 100.0, 85.0  # where zero lies, and the smallest size that is more


@dataclass(frozen=True)
class Tick:
    """A size that an axis names: ``at`` from the left for memory, from the top for what is reserved."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A stroke from here to there, level or upright."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Point:
    """What one kernel kept aside; ``shift``, in widths of a point, sets apart those that would coincide."""

    x: float
    y: float
    shift: float
    series: int
    state: State
    reservation: Reservation


@dataclass(frozen=True)
class Chart:
    """Everything to draw. ``kernels`` names the series; points in disagreement come last, and so on top."""

    memory: tuple[Tick, ...]
    reserved: tuple[Tick, ...]
    prediction: tuple[Line, ...]
    points: tuple[Point, ...]
    kernels: tuple[str, ...]

    @property
    def states(self) -> frozenset[State]:
        """What there is to explain."""
        return frozenset(point.state for point in self.points)


def chart(reservations: Iterable[Reservation], prediction: Prediction | None) -> Chart:
    """The picture of these tiers; a machine without memory is none, and who says nothing has no point."""
    told = [(each, max(each.kept, 0)) for each in reservations if each.memory > 0 and each.kept is not None]
    steps = sorted(prediction.points if prediction else (), key=lambda point: point.memory)
    foretold = [(point.memory, max(point.total, 0)) for point in steps if point.memory > 0]
    sizes = [(each.memory, kept) for each, kept in told]
    across = _Scale.over((memory for memory, _ in sizes + foretold), 0.0, 100.0)
    up = _Scale.over((kept for _, kept in sizes + foretold), _ABOVE_ZERO, 0.0)

    def place(memory: int, kept: int) -> tuple[float, float]:
        return across.at(memory), up.at(kept) if kept else _ZERO

    places = [place(*size) for size in sizes]
    kernels = tuple(dict.fromkeys(each.kernel for each, _ in told))
    points = (
        Point(x, y, shift, min(kernels.index(each.kernel) + 1, SERIES), _state(each), each)
        for (each, _), (x, y), shift in zip(told, places, _side_by_side(places), strict=True)
    )
    return Chart(
        memory=tuple(across.ticks()),
        reserved=(Tick(_ZERO, "0"), *up.ticks()),
        prediction=tuple(_steps([place(*size) for size in foretold])),
        points=tuple(sorted(points, key=lambda point: point.state == "differs")),
        kernels=kernels if len(kernels) <= SERIES else (*kernels[: SERIES - 1], "other kernels"),
    )


@dataclass(frozen=True)
class _Scale:
    """Sizes from 2**low to 2**high, laid out by their logarithm from ``start`` to ``end``."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, sizes: Iterable[int], start: float, end: float) -> Self:
        """From the power of two below the smallest to the one above the largest; zero is not on it."""
        known = [min(size, _LARGEST) for size in sizes if size] or [128 << 20]
        low, high = min(known).bit_length() - 1, (max(known) - 1).bit_length()
        return cls(low, high, start, end) if low < high else cls(max(low - 1, 0), low + 1, start, end)

    def at(self, size: int) -> float:
        """Where a size lies that the scale was made over."""
        share = (math.log2(min(size, _LARGEST)) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self) -> Iterator[Tick]:
        """Powers of two, as far apart as their labels need: the 1-2-5 rule of axes, for exponents."""
        step = next(step for step in _STEPS if (self.high - self.low) // step < _MOST_TICKS)
        first = self.low + (-self.low) % step
        for exponent in range(first, self.high + 1, step):
            yield Tick(self.at(1 << exponent), format_size(1 << exponent))


def _state(reservation: Reservation) -> State:
    if reservation.agree is False:
        return "differs"
    return "probed" if reservation.probed_only else "booted"


def _steps(corners: Sequence[tuple[float, float]]) -> Iterator[Line]:
    """Level until the next size is reached, then up or down to its value; level pieces are one stroke."""
    if not corners:
        return
    begun, level = corners[0]
    for x, y in corners[1:]:
        if y != level:
            yield Line(begun, level, x, level)
            yield Line(x, level, x, y)
            begun, level = x, y
    yield Line(begun, level, corners[-1][0], level)


def _side_by_side(places: Sequence[tuple[float, float]]) -> Iterator[float]:
    together, seen = Counter(places), Counter[tuple[float, float]]()
    for place in places:
        # Five abreast are as many as can be told apart: more share the outermost places.
        yield max(-2.0, min(2.0, seen[place] - (together[place] - 1) / 2))
        seen[place] += 1
