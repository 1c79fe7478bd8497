"""Groups have a key for each attempt, capacities have room or have not."""

from types import SimpleNamespace

import pytest

from kdump_tests.fleet.capacity import this_host
from kdump_tests.fleet.group import Capacity
from kdump_tests.sizes import GIB
from kdump_tests.unit.fleet.tasks import group, need


def test_a_key_is_the_name_and_the_attempt() -> None:
    assert group("debian-12-1G").key == "debian-12-1G#1"


def test_another_attempt_has_another_key_and_the_tests_that_are_left() -> None:
    again = group("one").again(["test_x.py::b"])
    assert (again.key, again.tests, again.need) == ("one#2", ("test_x.py::b",), group("one").need)


def test_what_fills_a_host_fits() -> None:
    assert Capacity(memory=100, cores=2).fits(need(memory=100, cores=2))


def test_a_byte_or_a_core_too_much_does_not_fit() -> None:
    assert not Capacity(memory=100, cores=2).fits(need(memory=101, cores=2))
    assert not Capacity(memory=100, cores=2).fits(need(memory=100, cores=3))


def test_this_host_has_at_least_a_core_and_no_more_than_allowed() -> None:
    assert this_host(None).cores >= 1
    assert this_host(1).cores == 1
    assert this_host(10**6).cores == this_host(None).cores


@pytest.mark.parametrize(("available", "left"), [(3 * GIB, 2 * GIB), (GIB // 2, 0)])
def test_some_memory_stays_for_the_suite(monkeypatch: pytest.MonkeyPatch, available: int, left: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=available))
    assert this_host(None).memory == left
