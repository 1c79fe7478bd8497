"""Which group starts next, and when all will be done: the longest first, as soon as it fits."""

from collections.abc import Iterable, Mapping, Sequence

from kdump_tests.fleet.group import Capacity, Group


def next_to_start(waiting: Sequence[Group], running: Sequence[Group], capacity: Capacity) -> Group | None:
    """The largest waiting group that fits beside the running ones: by time, then memory, then order given.

    The longest first, since what is begun last should be short: all then end at about the same time.
    """
    left = _left(capacity, running)
    return max(
        (group for group in waiting if left.fits(group.need)),
        key=lambda group: (group.seconds, group.need.memory),
        default=None,
    )


def seconds_left(waiting: Sequence[Group], running: Mapping[Group, float], capacity: Capacity) -> float:
    """An estimate of the time until all is done, by going through it.

    A group that takes longer than expected could end at any moment; one that fits nowhere never starts.

    Args:
        waiting: What has not been started.
        running: What has, with the seconds that each has run so far.
        capacity: What the host offers.
    """
    now = 0.0
    rest = list(waiting)
    ends = [(max(0.0, group.seconds - so_far), group) for group, so_far in running.items()]
    while True:
        while group := next_to_start(rest, [group for _, group in ends], capacity):
            rest.remove(group)
            ends.append((now + group.seconds, group))
        if not ends:
            return now
        first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        now = first[0]


def _left(capacity: Capacity, running: Iterable[Group]) -> Capacity:
    needs = [group.need for group in running]
    return Capacity(
        memory=capacity.memory - sum(need.memory for need in needs),
        cores=capacity.cores - sum(need.cores for need in needs),
    )
