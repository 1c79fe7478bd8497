"""How much this host can run at once."""

import os

import psutil

from kdump_tests.fleet.group import Capacity
from kdump_tests.sizes import GIB

# The suite itself: its controller, a pytest per group, the page cache that images are read through.
_RESERVE = GIB


def this_host(cores_limit: int | None) -> Capacity:
    """What this host offers now; of its cores no more than ``cores_limit``, if given."""
    cores = len(os.sched_getaffinity(0))
    return Capacity(
        memory=max(0, psutil.virtual_memory().available - _RESERVE),
        cores=cores if cores_limit is None else min(cores, cores_limit),
    )
