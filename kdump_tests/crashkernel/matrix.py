"""Many questions to one kernel: every setting at every memory size, what was expected and what it said."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from kdump_tests.crashkernel.evaluation import RAM_ROUNDING, expected_reservation
from kdump_tests.crashkernel.probe import ask, require_memory
from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.crashkernel.setting import Setting
from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError
from kdump_tests.sizes import GIB, MIB, format_size

SMALLEST, LARGEST = 512 * MIB, 16 << 40
# Measured: 150 MiB up to 256 GiB of guest memory, 250 MiB at 1 TiB, 1.7 GiB at 16 TiB. The kernel's memory
# map is all that it touches.
_BASE_MEMORY, _GUEST_MEMORY_PER_BYTE = 200 * MIB, 8192
# 16 TiB take 5 s on two slow cores without KVM.
_SECONDS = 120.0


@dataclass(frozen=True)
class Case:
    """One question: this setting on a machine of so many bytes."""

    setting: Setting
    memory: int

    @property
    def real_memory(self) -> int:
        """What QEMU takes of the host for it, in bytes."""
        return _BASE_MEMORY + self.memory // _GUEST_MEMORY_PER_BYTE


@dataclass(frozen=True)
class Expectation:
    """What the evaluation says; ``reservation`` is None where it can't, and ``because`` says why."""

    case: Case
    reservation: Reservation | None
    because: str = ""


@dataclass(frozen=True)
class Answer:
    """What was expected of a kernel, and what it said."""

    expectation: Expectation
    said: Announcement

    @property
    def agrees(self) -> bool | None:
        """None: nothing was expected, so there is nothing to agree with."""
        expected = self.expectation.reservation
        return None if expected is None else self.said.reservation == _as_told(expected, self.said)


def _as_told(expected: Reservation, said: Announcement) -> Reservation:
    """Linux 6.1 tells whole MiB only."""
    if said.in_whole_mib:
        return Reservation(expected.main // MIB * MIB, expected.low // MIB * MIB)
    return expected


def expect(case: Case) -> Expectation:
    """What a kernel should reserve.

    Raises:
        BadInput: no machine has that memory.
    """
    require_memory(case.memory)
    try:
        return Expectation(case, expected_reservation(case.setting, case.memory))
    except BadInput as error:
        return Expectation(case, None, error.message)


def boundaries(edges: Iterable[int]) -> tuple[int, ...]:
    """The memory sizes at which a setting might go wrong: its edges, a MiB and the rounding to each side.

    Between the smallest and the largest machine that a probe can be, and those two.
    """
    steps = (-RAM_ROUNDING - MIB, -RAM_ROUNDING, -RAM_ROUNDING + MIB, -MIB, 0, MIB, RAM_ROUNDING)
    sizes = {edge + step for edge in edges for step in steps} | {SMALLEST, LARGEST}
    return tuple(sorted(size for size in sizes if SMALLEST <= size <= LARGEST))


def probe(kernel: Path, expectations: Iterable[Expectation], accelerator: str) -> Iterator[Answer]:
    """The answers in the order of the questions; as many at once as the host has cores and memory for.

    Raises:
        LabError: as probe.ask(); a machine whose memory the host cannot bear.
    """
    asked = list(expectations)
    if not asked:
        return
    need = max(expectation.case.real_memory for expectation in asked)
    room = psutil.virtual_memory().available
    if need > room:
        raise LabError(
            f"this host cannot probe {format_size(max(each.case.memory for each in asked))}",
            needs=f"{need / GIB:.1f} GiB",
            available=f"{room / GIB:.1f} GiB",
            way_out="less --memory",
        )
    at_once = max(1, min(os.cpu_count() or 1, room // need))

    def answer(expectation: Expectation) -> Answer:
        case = expectation.case
        until = Deadline.after(_SECONDS, f"the kernel says what it reserves on {format_size(case.memory)}")
        return Answer(expectation, ask(kernel, str(case.setting), case.memory, accelerator, until))

    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from pool.map(answer, asked)
        finally:
            pool.shutdown(cancel_futures=True)
