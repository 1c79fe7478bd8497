"""Tests grouped by the guest that they share, with what each group needs and how long it will take."""

from collections.abc import Iterable, Mapping

import pytest

from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.fleet.group import Group, Need
from kdump_tests.guest.image import Image
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import MIB
from kdump_tests.stacks import dump_server

# What is expected of a group that never ran here, on the reference machine: it crashes a guest, or looks.
_CRASH_SECONDS = 90.0
_LOOK_SECONDS = 15.0
_PROBE_SECONDS = 1.0
# A pytest with libvirt's driver and drgn in it.
_PROCESS_MEMORY = 128 * MIB


def groups_of(
    items: Iterable[pytest.Item], accelerator: str, cores: int, took: Mapping[str, float]
) -> tuple[Group, ...]:
    """The groups of a session; tests that need no guest make one too.

    Args:
        items: What was collected, in order.
        accelerator: What guests run on.
        cores: Of the host. A guest with more CPUs than that runs alone.
        took: Seconds that groups took before, by their history.
    """
    shared: dict[GuestSpec | None, list[pytest.Item]] = {}
    for item in items:
        shared.setdefault(spec_of(item), []).append(item)
    return tuple(_group(spec, tests, accelerator, cores, took) for spec, tests in shared.items())


def _group(
    spec: GuestSpec | None,
    tests: list[pytest.Item],
    accelerator: str,
    cores: int,
    took: Mapping[str, float],
) -> Group:
    name = spec.name if spec else "no guest"
    probed = [each for each in (_asked_for(test, "probed") for test in tests) if each]
    crashes = any({"crash", "lost_crash"}.intersection(getattr(test, "fixturenames", ())) for test in tests)
    seconds = _CRASH_SECONDS if crashes else _LOOK_SECONDS if spec else _PROBE_SECONDS * len(probed)
    guests = _guests_of(spec)
    some = spec or next(iter(probed), None)
    return Group(
        name=name,
        tests=tuple(test.nodeid for test in tests),
        need=Need(
            memory=_PROCESS_MEMORY
            + sum(guest.real_memory for guest in guests)
            + (0 if spec else max(map(_real_memory_of_a_probe, probed), default=0)),
            # Under TCG each CPU of a guest is a thread that takes a core whole, and so does a probe.
            cores=min(sum(guest.vcpus for guest in guests), cores) if spec else bool(probed),
            accelerator=accelerator,
            architecture="" if some is None or some.exists else Image.load(some.image).architecture,
            image=some.image if some else "",
        ),
        seconds=took.get(history(name, len(tests)), seconds),
    )


def _guests_of(spec: GuestSpec | None) -> tuple[GuestSpec, ...]:
    """The guest, and its dump server if it has one: the two are placed together."""
    if spec is None:
        return ()
    return (spec, dump_server.spec_for(spec)) if spec.links else (spec,)


def _real_memory_of_a_probe(spec: GuestSpec) -> int:
    return EMULATIONS[Image.load(spec.image).architecture].real_memory(spec.memory)


def history(name: str, tests: int) -> str:
    """What is remembered of a group: one of fewer tests (-k, --lf) may have no crash in it."""
    return f"{name}, {tests} tests"


def spec_of(item: pytest.Item) -> GuestSpec | None:
    """What the guest of a test shall be; None for a test that needs none."""
    return _asked_for(item, "tier")


def _asked_for(item: pytest.Item, fixture: str) -> GuestSpec | None:
    callspec = getattr(item, "callspec", None)
    spec = callspec.params.get(fixture) if callspec else None
    return spec if isinstance(spec, GuestSpec) else None
