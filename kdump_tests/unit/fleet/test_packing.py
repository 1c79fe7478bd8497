"""What starts next fits, is the largest, and in the end all has run."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.fleet.group import Capacity, Group
from kdump_tests.fleet.packing import next_to_start, seconds_left
from kdump_tests.unit.fleet.tasks import group

HOST = Capacity(memory=100, cores=4)

groups = st.lists(
    st.builds(
        group,
        st.uuids().map(str),
        seconds=st.floats(0, 1000),
        memory=st.integers(0, 120),
        cores=st.integers(0, 5),
    ),
    max_size=12,
)


def simulated(waiting: list[Group]) -> Iterator[tuple[float, list[Group]]]:
    """The time and what runs, after each change."""
    rest, running, now = list(waiting), dict[Group, float](), 0.0
    while True:
        while started := next_to_start(rest, list(running), HOST):
            rest.remove(started)
            running[started] = now + started.seconds
        yield now, list(running)
        if not running:
            return
        now = min(running.values())
        del running[min(running, key=lambda group: running[group])]


@given(groups)
def test_no_more_runs_than_there_is_room_for(waiting: list[Group]) -> None:
    for _, running in simulated(waiting):
        assert sum(group.need.memory for group in running) <= HOST.memory
        assert sum(group.need.cores for group in running) <= HOST.cores


@given(groups)
def test_all_that_fits_is_run_in_the_end(waiting: list[Group]) -> None:
    ran = {group for _, running in simulated(waiting) for group in running}
    assert ran == {group for group in waiting if HOST.fits(group.need)}


@given(groups)
def test_no_larger_one_is_passed_over(waiting: list[Group]) -> None:
    chosen = next_to_start(waiting, [], HOST)
    fitting = [(group.seconds, group.need.memory) for group in waiting if HOST.fits(group.need)]
    assert (chosen and (chosen.seconds, chosen.need.memory)) == max(fitting, default=None)


@given(groups)
def test_the_time_left_is_that_of_the_run(waiting: list[Group]) -> None:
    assert seconds_left(waiting, {}, HOST) == pytest.approx(max(now for now, _ in simulated(waiting)))


@given(groups, groups)
def test_the_time_left_is_sane(waiting: list[Group], running: list[Group]) -> None:
    left = seconds_left(waiting, dict.fromkeys(running, 0.0), HOST)
    everything = [*(group for group in waiting if HOST.fits(group.need)), *running]
    assert left >= max((group.seconds for group in everything), default=0.0)
    assert left <= sum(group.seconds for group in everything) + 0.001


def test_the_longest_is_first_then_the_biggest_then_the_first_given() -> None:
    first, second = group("first", seconds=5, memory=10), group("second", seconds=5, memory=10)
    bigger, longer = group("bigger", seconds=5, memory=20), group("longer", seconds=6, memory=1)
    assert next_to_start([first, second, bigger, longer], [], HOST) is longer
    assert next_to_start([first, second, bigger], [], HOST) is bigger
    assert next_to_start([first, second], [], HOST) is first


def test_a_small_one_goes_where_a_large_one_does_not_fit() -> None:
    large, small = group("large", seconds=9, memory=60), group("small", seconds=1, memory=40)
    assert next_to_start([large, small], [group("running", memory=60)], HOST) is small


def test_nothing_starts_on_a_host_that_is_full() -> None:
    assert next_to_start([group("waiting", cores=1)], [group("running", cores=4)], HOST) is None


def test_a_group_that_fits_nowhere_is_not_waited_for() -> None:
    assert seconds_left([group("huge", seconds=9, memory=101)], {}, HOST) == 0


def test_side_by_side_takes_the_time_of_one() -> None:
    assert seconds_left([group("a", seconds=5), group("b", seconds=5)], {}, HOST) == 5


def test_one_after_the_other_takes_the_time_of_both() -> None:
    pair = [group("a", seconds=5, cores=3), group("b", seconds=7, cores=3)]
    assert seconds_left(pair, {}, HOST) == 12


def test_what_runs_has_some_of_its_time_behind_it() -> None:
    assert seconds_left([group("b", seconds=7, cores=4)], {group("a", seconds=5): 2.0}, HOST) == 10


def test_a_group_over_its_time_could_end_any_moment() -> None:
    assert seconds_left([group("b", seconds=7, cores=4)], {group("a", seconds=5): 60.0}, HOST) == 7
