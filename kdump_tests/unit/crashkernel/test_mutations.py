"""The evaluation broken on purpose, one rule at a time: its tests must notice each."""

import inspect
from collections.abc import Callable, Iterator
from types import FunctionType

import pytest

from kdump_tests.crashkernel import evaluation
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.unit.crashkernel import test_evaluation

MUTATIONS = {
    "no rounding": ("round_up(memory, generation.ram_rounding)", "memory"),
    "rounding down": (
        "round_up(memory, generation.ram_rounding)",
        "memory // generation.ram_rounding * generation.ram_rounding",
    ),
    "end belongs to the range": ("total < each.end", "total <= each.end"),
    "start does not": ("each.start <= total", "each.start < total"),
    "last match": ("in setting.ranges:", "in reversed(setting.ranges):"),
    "size as large as the RAM": ("each.size >= total", "each.size > total"),
    "any size before the match": ("if each.size >= total:", "if False:"),
    "first of several": ("plain[-1]", "plain[0]"),
    "suffixed before plain": (
        "isinstance(plain, Simple | Ranges) and size",
        "effective.high is None and size",
    ),
    "high though a plain one is there": ("plain is None or generation.nothing_to_high", "True"),
    "no high after nothing": ("plain is None or generation.nothing_to_high", "plain is None"),
    "cma always known": ("suffix is not Suffix.CMA or generation.knows_cma", "True"),
    "cma by the byte": ("round_up(effective.cma.size, _PAGE)", "effective.cma.size"),
    "any offset": ("main.offset % (generation.offset_align or placement.align) == 0", "True"),
    "no low memory": ("return placement.default_low", "return 0"),
    "low only of the default": ("if effective.low is not None and", "if False and"),
    "low for all": ("or generation.low_for_all", "or True"),
    "low never beside plain": ("or generation.low_for_all", "or False"),
    "low memory always fits": (
        "_tried((room.below(low), (Reservation(size, low),)))",
        "(Reservation(size, low),)",
    ),
    "high is tried last": ("_tried(above, below)", "_tried(below, above)"),
    "plain is tried high first": ("_tried(below, above) if", "_tried(above, below) if"),
    "size by the byte": ("size = round_up(size, generation.size_align)", "pass"),
    "plain never goes above": ("if generation.plain_goes_above", "if False"),
    "plain always goes above": ("if generation.plain_goes_above", "if True"),
    "high without low": ("if generation.high_adds_low", "if False"),
    "high with low": ("if generation.high_adds_low", "if True"),
    "high is always known": ("generation.knows_high and ", ""),
    "cma everywhere": (" or not placement.has_cma", ""),
    "cma in one piece always": ("if each.main and Fits.SURELY not in", "if False and Fits.SURELY not in"),
    "cma beside nothing": ("replace(each, cma=size) if each.main else each", "replace(each, cma=size)"),
    "perhaps is surely": ("if fits is Fits.SURELY", "if fits is not Fits.NEVER"),
    "surely is perhaps": ("if fits is Fits.SURELY", "if False"),
    "never is perhaps": ("if fits is not Fits.NEVER", "if True"),
}


def _mutant(was: str, becomes: str) -> Callable[..., tuple[Reservation, ...]]:
    source = inspect.getsource(evaluation)
    assert source.count(was) == 1, f"{was!r} is no longer in the evaluation: choose another place"
    names: dict[str, object] = {"__name__": evaluation.__name__}
    exec(compile(source.replace(was, becomes), "mutant", "exec"), names)  # noqa: S102 - our own source
    mutant = names["expected_reservations"]
    assert callable(mutant)
    return mutant


def _rows() -> Iterator[tuple[FunctionType, tuple[object, ...]]]:
    for _, function in inspect.getmembers(test_evaluation, inspect.isfunction):
        for mark in getattr(function, "pytestmark", ()):
            if mark.name == "parametrize":
                names, rows = mark.args
                yield from ((function, (row,) if isinstance(names, str) else row) for row in rows)
        if function.__name__.startswith("test_") and not inspect.signature(function).parameters:
            yield function, ()


def _noticed() -> bool:
    """Whether any row of the evaluation's tests fails."""
    for function, row in _rows():
        try:
            function(*row)
        except (Exception, pytest.fail.Exception):
            return True
    return False


def test_nothing_is_noticed_where_nothing_is_broken() -> None:
    assert not _noticed()


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_evaluation, "expected_reservations", _mutant(*MUTATIONS[name]))
    assert _noticed()
