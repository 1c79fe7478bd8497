"""Many questions to one kernel: every setting at every memory size, what was expected and what it said."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.crashkernel.evaluation import expected_reservations
from kdump_tests.crashkernel.generation import Generation, generations
from kdump_tests.crashkernel.kernel_file import read_kernel_file
from kdump_tests.crashkernel.placement import Placement
from kdump_tests.crashkernel.probe import ask, require_memory
from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.crashkernel.setting import Setting
from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError
from kdump_tests.sizes import GIB, MIB, format_size

SMALLEST, LARGEST = 512 * MIB, EMULATIONS["x86_64"].largest_memory


@dataclass(frozen=True)
class Case:
    """One question: this setting on a machine of so many bytes."""

    setting: Setting
    memory: int


@dataclass(frozen=True)
class Expectation:
    """What the evaluation says: one outcome, or several where chance decides, the first tried first.

    None where it can't say, and ``because`` says why.
    """

    case: Case
    outcomes: tuple[Reservation, ...]
    because: str = ""


@dataclass(frozen=True)
class Answer:
    """What was expected of a kernel, and what it said."""

    expectation: Expectation
    said: Announcement

    @property
    def agrees(self) -> bool | None:
        """None: nothing was expected, so there is nothing to agree with."""
        expected = [self.said.as_told(each) for each in self.expectation.outcomes]
        return self.said.reservation in expected if expected else None


def expect(case: Case, generation: Generation, placement: Placement) -> Expectation:
    """What a kernel should reserve.

    Raises:
        BadInput: no machine has that memory.
    """
    require_memory(case.memory)
    try:
        return Expectation(case, expected_reservations(case.setting, case.memory, generation, placement))
    except BadInput as error:
        return Expectation(case, (), error.message)


def boundaries(edges: Iterable[int], step: int = MIB, largest: int = LARGEST) -> tuple[int, ...]:
    """The memory sizes at which a setting might go wrong: its edges, a step and the rounding to each side.

    Multiples of ``step``, between the smallest and the largest machine that a probe can be, and those two.
    """
    rounding = max(generation.ram_rounding for generation in generations())
    steps = (-rounding - step, -rounding, -rounding + step, -step, 0, step, rounding)
    sizes = {edge + distance for edge in edges for distance in steps} | {SMALLEST, largest}
    return tuple(sorted(size for size in sizes if SMALLEST <= size <= largest and size % step == 0))


def probe(kernel: Path, expectations: Iterable[Expectation], accelerator: str) -> Iterator[Answer]:
    """The answers in the order of the questions; as many at once as the host has cores and memory for.

    Raises:
        BadInput, LabError: as probe.ask(); a machine whose memory the host cannot bear.
    """
    asked = list(expectations)
    if not asked:
        return
    emulation = EMULATIONS[read_kernel_file(kernel).architecture]
    for expectation in asked:
        require_memory(expectation.case.memory, emulation.memory_step)
    need = max(emulation.real_memory(expectation.case.memory) for expectation in asked)
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
        until = Deadline.after(
            emulation.seconds, f"the kernel says what it reserves on {format_size(case.memory)}"
        )
        return Answer(expectation, ask(kernel, str(case.setting), case.memory, accelerator, until))

    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from pool.map(answer, asked)
        finally:
            pool.shutdown(cancel_futures=True)
