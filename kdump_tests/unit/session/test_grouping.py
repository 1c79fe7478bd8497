"""Tests are grouped by the guest that they share."""

from typing import Any
from unittest.mock import Mock

from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.fleet.group import Capacity
from kdump_tests.guest.spec import GuestSpec, Link
from kdump_tests.session.controller import worth_it
from kdump_tests.session.grouping import groups_of
from kdump_tests.sizes import GIB, MIB

SMALL, LARGE = GuestSpec("debian-12", GIB, None), GuestSpec("debian-12", 16 * GIB, None, vcpus=8)


def item(nodeid: str, spec: GuestSpec | None, *fixtures: str, by: str = "tier") -> Any:
    params = {} if spec is None else {by: spec}
    return Mock(nodeid=nodeid, callspec=Mock(params=params), fixturenames=list(fixtures))


def test_tests_of_one_guest_are_one_group_in_their_order() -> None:
    items = [item("a", SMALL, "crash"), item("b", LARGE), item("c", SMALL), item("d", None)]
    groups = groups_of(items, "tcg", 2, {})
    assert [(group.name, group.tests) for group in groups] == [
        ("debian-12-1G", ("a", "c")), ("debian-12-16G", ("b",)), ("no guest", ("d",)),
    ]  # fmt: skip


def test_a_crash_is_expected_to_take_longer_than_a_look_until_it_is_known() -> None:
    items = [item("a", SMALL, "crash"), item("b", LARGE)]
    crashes, looks = groups_of(items, "tcg", 2, {})
    assert crashes.seconds > looks.seconds
    crashes, looks = groups_of(
        items, "tcg", 2, {"debian-12-1G, 1 tests": 5.0, "debian-12-16G, 1 tests": 7.0}
    )
    assert (crashes.seconds, looks.seconds) == (5.0, 7.0)


def test_need_is_of_real_memory_and_of_no_more_cores_than_there_are() -> None:
    (small,) = groups_of([item("a", SMALL)], "tcg", 2, {})
    (large,) = groups_of([item("b", LARGE)], "tcg", 2, {})
    assert (small.need.cores, large.need.cores) == (1, 2)
    assert (small.need.architecture, small.need.image) == ("x86_64", "debian-12")
    assert small.need.memory < large.need.memory < 2 * GIB
    (nobody,) = groups_of([item("d", None)], "tcg", 2, {})
    assert nobody.need.cores == 0


def test_a_guest_and_its_dump_server_are_placed_together() -> None:
    linked = GuestSpec("debian-12", GIB, None, links=(Link("dumps"),))
    (alone,) = groups_of([item("a", SMALL, "crash")], "tcg", 4, {})
    (pair,) = groups_of([item("a", linked, "crash")], "tcg", 4, {})
    (looked_at,) = groups_of([item("a", linked)], "tcg", 4, {})
    assert (alone.need.cores, pair.need.cores, looked_at.need.cores) == (1, 2, 2)
    assert pair.need.memory - alone.need.memory == 832 * MIB
    assert looked_at.need.memory == pair.need.memory


def test_probes_are_one_group_without_a_guest_that_takes_a_core_and_what_the_largest_needs() -> None:
    huge = GuestSpec("debian-12", 1024 * GIB, None)
    (probes,) = groups_of([item("a", SMALL, by="probed"), item("b", huge, by="probed")], "tcg", 2, {})
    assert (probes.name, probes.need.cores, probes.need.image) == ("no guest", 1, "debian-12")
    assert 64 * MIB < probes.need.memory - EMULATIONS["x86_64"].real_memory(1024 * GIB) < 256 * MIB
    assert probes.seconds < 5


def test_processes_of_their_own_are_worth_it_when_two_groups_fit_at_once() -> None:
    groups = groups_of([item("a", SMALL), item("b", LARGE)], "tcg", 1, {})
    assert worth_it(groups, Capacity(64 * GIB, 2))
    assert not worth_it(groups, Capacity(64 * GIB, 1))
    assert not worth_it(groups, Capacity(1500 * MIB, 2))
    assert not worth_it(groups[:1], Capacity(64 * GIB, 2))
    assert not worth_it(groups, Capacity(0, 0))
