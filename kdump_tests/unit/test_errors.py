"""Errors say what happened in one sentence, and below it what a person needs next."""

import pickle

import pytest

from kdump_tests import errors
from kdump_tests.errors import CaptureFailed, KdumpFailure, KdumpVerifyError, LabError

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KdumpVerifyError)
]


def test_facts_stand_in_columns_below_the_message() -> None:
    error = CaptureFailed("no dump was saved", phase_reached="panic (+0.4 s)", console="console.log:8")
    assert str(error).splitlines() == [
        "no dump was saved",
        "  phase reached   panic (+0.4 s)",
        "  console         console.log:8",
    ]


def test_lines_of_a_fact_stay_in_their_column() -> None:
    assert str(LabError("mke2fs failed", said="one\ntwo")).splitlines()[1:] == [
        "  said   one",
        "         two",
    ]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_fact_that_says_nothing_is_not_shown(nothing: object) -> None:
    assert str(LabError("it failed", log=nothing)) == "it failed"


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (False, "False"), (["a", "b"], "['a', 'b']")])
def test_any_other_value_is(value: object, shown: str) -> None:
    assert LabError("it failed", value=value).facts == {"value": shown}


def test_an_error_survives_being_pickled() -> None:
    error = pickle.loads(pickle.dumps(CaptureFailed("no dump", console="x:8")))  # noqa: S301 - ours
    assert str(error) == "no dump\n  console   x:8"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_either_the_products_or_the_laboratorys(kind: type[KdumpVerifyError]) -> None:
    assert kind is KdumpVerifyError or issubclass(kind, KdumpFailure) != issubclass(kind, LabError)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, LabError)])
def test_the_laboratorys_exit_codes_are_of_sysexits(kind: type[LabError]) -> None:
    assert 64 <= kind.exit_code <= 78


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_stands_in_the_tree_that_is_shown(kind: type[KdumpVerifyError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "").split()
