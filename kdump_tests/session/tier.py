"""What tests are given of a memory tier."""

from dataclasses import dataclass, replace

from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.guest.crashkernel_parameter import CrashkernelParameter
from kdump_tests.guest.facts import KernelFacts, Witnesses
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import format_size
from kdump_tests.stacks.dump_server import DumpServer
from kdump_tests.stacks.stack import KdumpState, Stack


@dataclass(frozen=True)
class Tier:
    """A guest of one memory tier, booted, and what was found in it."""

    guest: Guest
    stack: Stack
    parameter: CrashkernelParameter
    kernel: KernelFacts
    witnesses: Witnesses
    state: KdumpState
    dump_server: DumpServer | None  # None where dumps stay

    @property
    def kept(self) -> Reservation:
        """What its kernel keeps aside: by /proc/iomem, which has no CMA, and by the boot log."""
        return replace(self.witnesses.iomem, cma=self.witnesses.boot_log.reservation.cma)

    @property
    def expected(self) -> tuple[Reservation, ...]:
        """What it may keep aside, in the terms of ``kept``; nothing when that cannot be told beforehand."""
        told = self.witnesses.boot_log.as_told
        return tuple(replace(each, cma=told(each).cma) for each in self.parameter.expected)

    def __str__(self) -> str:
        return _shown(self.guest.spec, self.parameter)


@dataclass(frozen=True)
class ProbedTier:
    """What the kernel alone, booted just so far, says it keeps aside on the memory of one tier."""

    spec: GuestSpec
    parameter: CrashkernelParameter
    said: Announcement

    @property
    def kept(self) -> Reservation:
        """What it says that it keeps aside."""
        return self.said.reservation

    @property
    def expected(self) -> tuple[Reservation, ...]:
        """What it may say; nothing when that cannot be told beforehand."""
        return tuple(map(self.said.as_told, self.parameter.probed))

    def __str__(self) -> str:
        return _shown(self.spec, self.parameter)


def _shown(spec: GuestSpec, parameter: CrashkernelParameter) -> str:
    passed = "no crashkernel=" if parameter.passed is None else f"crashkernel={parameter.passed}"
    return f"{spec.name} ({format_size(spec.memory)}, {passed})"
