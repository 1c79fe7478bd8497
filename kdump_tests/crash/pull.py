"""How a trigger is pulled: from inside the machine, at its console, or from under it."""

import shlex
from dataclasses import dataclass
from typing import Protocol

from kdump_tests.crash.fault_module.build import hand_over
from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.hypervisor import Domain
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.serial_line import type_after_break

_MODULE = "/run/kdump-verify-fault.ko"


class Pull(Protocol):
    """One way."""

    @property
    def needs_hypervisor(self) -> bool:
        """Whether it takes the hypervisor of the machine."""

    def get_ready(self, guest: Guest) -> None:
        """All that can be done before; the machine must survive it."""

    def pull(self, guest: Guest, cpu: int | None, until: Deadline) -> None:
        """Do it, on that CPU if one is told, and do not wait for what comes of it."""


@dataclass(frozen=True)
class Script:
    """A shell script of which the machine dies."""

    text: str
    needs_hypervisor = False

    def get_ready(self, guest: Guest) -> None:
        """Nothing is to be done."""

    def pull(self, guest: Guest, cpu: int | None, until: Deadline) -> None:
        """Leave it running, in a shell of its own on the CPU that was chosen."""
        guest.shell.leave_running(_pinned(self.text, cpu), until)


@dataclass(frozen=True)
class Fault:
    """A fault of the kernel itself: ``name`` is a function of fault_module/fault.c.

    ``cpu`` is where, if that matters though nobody chose one.
    """

    name: str
    cpu: int | None = None
    needs_hypervisor = False

    def get_ready(self, guest: Guest) -> None:
        """Build the module."""
        hand_over(guest, self.name, _MODULE)

    def pull(self, guest: Guest, cpu: int | None, until: Deadline) -> None:
        """Load it."""
        where = self.cpu if cpu is None else cpu
        guest.shell.leave_running(_pinned(f"exec insmod {_MODULE}", where), until)


@dataclass(frozen=True)
class SerialBreak:
    """A BREAK on the serial console, and the key that says what SysRq shall do."""

    key: str
    needs_hypervisor = True

    def get_ready(self, guest: Guest) -> None:
        """Nothing is to be done."""

    def pull(self, guest: Guest, _cpu: int | None, until: Deadline) -> None:
        """Type."""
        type_after_break(_domain(guest), guest.console.record, self.key, until)


@dataclass(frozen=True)
class Nmi:
    """A non-maskable interrupt from the hypervisor."""

    needs_hypervisor = True

    def get_ready(self, guest: Guest) -> None:
        """Nothing is to be done."""

    def pull(self, guest: Guest, _cpu: int | None, until: Deadline) -> None:
        """Send it."""
        _domain(guest).inject_nmi(until)


@dataclass(frozen=True)
class MachineCheck:
    """An error of the hardware on the first CPU, as QEMU's monitor injects it."""

    bank: int
    status: int
    global_status: int
    needs_hypervisor = True

    def get_ready(self, guest: Guest) -> None:
        """Nothing is to be done."""

    def pull(self, guest: Guest, _cpu: int | None, until: Deadline) -> None:
        """Inject it; the monitor speaks only when it refuses."""
        command = f"mce 0 {self.bank} {self.status:#x} {self.global_status:#x} 0 0"
        if said := _domain(guest).tell_monitor(command, until).strip():
            raise LabError("QEMU injects no machine check", command=command, said=said)


def _pinned(script: str, cpu: int | None) -> str:
    return script if cpu is None else f"exec taskset --cpu-list {cpu} sh -c {shlex.quote(script)}"


def _domain(guest: Guest) -> Domain:
    if guest.domain is None:
        raise LabError(f"{guest.name} has no hypervisor of ours")
    return guest.domain
