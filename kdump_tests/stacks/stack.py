"""What every kdump implementation can be asked, whatever it is called and however it is configured."""

from dataclasses import dataclass
from enum import StrEnum
from re import Pattern
from typing import Protocol

from kdump_tests.deadline import Deadline
from kdump_tests.guest.shell import Shell


class Phase(StrEnum):
    """How far a crash got, in the order of a good one. The console's lines move it on."""

    TRIGGERED = "triggered"
    PANIC = "panic"
    CAPTURE_KERNEL = "capture kernel started"
    TARGET_MOUNTED = "target mounted"
    DMESG_SAVED = "dmesg saved"
    DUMP_STARTED = "dump started"
    DUMP_SAVED = "dump saved"
    FINAL_ACTION = "final action"
    REBOOTED = "rebooted"
    LOGIN = "login"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(Phase).index(self)


@dataclass(frozen=True)
class Markers:
    """What a stack's capture environment prints as it reaches a phase, and when something fails in one.

    What failed while the kernel log was saved, or the dump, was not saved, whatever is printed later.
    """

    phases: tuple[tuple[Phase, Pattern[str]], ...]
    failed: Pattern[str]


@dataclass(frozen=True)
class KdumpState:
    """What a running system says about its kdump. ``said`` is the service's own account."""

    service: str
    enabled: str  # as systemd calls it: enabled, disabled, masked, …
    active: str  # active, inactive, failed, …
    capture_kernel_loaded: bool
    said: str

    @property
    def armed(self) -> bool:
        """Whether a panic now would start a capture kernel."""
        return self.capture_kernel_loaded


@dataclass(frozen=True)
class SavedFile:
    """One file that a capture left. ``size`` in bytes, ``mode`` the permission bits."""

    name: str
    size: int
    mode: int
    owner: str


@dataclass(frozen=True)
class DumpDirectory:
    """One directory of the dump target, named by the stack after the time of the crash."""

    path: str
    mode: int
    owner: str
    files: tuple[SavedFile, ...]


@dataclass(frozen=True)
class Artifact:
    """A file that the stack promises to leave in a dump directory: its name, its mode, its owner."""

    name: Pattern[str]
    mode: int
    owner: str = "root"


@dataclass(frozen=True)
class Artifacts:
    """All that a stack promises of one crash."""

    vmcore: Artifact
    dmesg: Artifact

    @property
    def all(self) -> tuple[Artifact, ...]:
        """Each of them."""
        return (self.vmcore, self.dmesg)


class Stack(Protocol):
    """One kdump implementation."""

    name: str
    markers: Markers
    artifacts: Artifacts

    def settle(self, shell: Shell, until: Deadline) -> None:
        """Wait until the boot has done all it will do for kdump, well or badly."""

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """Ask the service and the kernel."""

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Every dump directory at the target, oldest first."""
