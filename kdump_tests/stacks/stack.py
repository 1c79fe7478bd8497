"""What every kdump implementation can be asked, whatever it is called and however it is configured."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from re import Pattern
from typing import Protocol, Self

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.guest.shell import Output, Shell
from kdump_tests.stacks.boot_loader import BootLoader
from kdump_tests.stacks.kdump_conf import FinalAction, KdumpConfig
from kdump_tests.stacks.topology import Remote
from kdump_tests.stacks.translation import Translation


def check_settings(stack: "Stack", settings: Mapping[str, str]) -> None:
    """Refuse settings that a stack does not have.

    Raises:
        BadInput: names them, and those it has.
    """
    if unknown := sorted(settings.keys() - stack.settings.keys()):
        raise BadInput(
            f"{', '.join(unknown)}: no setting of kdump on {stack.name}",
            known=", ".join(sorted(stack.settings)),
        )


def unfit_for_a_host(host: str, setting: str) -> BadInput:
    """That a machine which is not ours is not crashed with this setting."""
    return BadInput(
        f"{host} is not crashed with {setting}",
        reason="it would not come back by itself, lose what a disk holds, or not be left as it was",
        way_out="another value, by --kdump-conf or --kdump-setting, or on the host itself",
    )


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
    ``waits`` is for a person, at the console; what every Linux prints then is known without it. ``goes_on``
    tells of a step between two phases where that is a long way.
    """

    phases: tuple[tuple[Phase, Pattern[str]], ...]
    failed: Pattern[str]
    waits: Pattern[str] | None = None
    goes_on: Pattern[str] = re.compile(r"(?!)")


class Mechanism(StrEnum):
    """What keeps the memory of a kernel that panics."""

    KEXEC = "a capture kernel"
    EARLY = "a capture kernel that the initramfs loads (early kdump)"
    FADUMP = "the firmware (fadump)"


@dataclass(frozen=True)
class KdumpState:
    """What a running system says about its kdump. ``said`` is the service's account if it is not armed."""

    service: str
    enabled: str  # as systemd calls it: enabled, disabled, masked, …
    active: str  # active, inactive, failed, …
    capture_kernel_loaded: bool
    said: str
    mechanism: Mechanism = Mechanism.KEXEC

    @property
    def armed(self) -> bool:
        """Whether a panic now would start a capture kernel."""
        return self.capture_kernel_loaded

    def __str__(self) -> str:
        armed = f"armed, by {self.mechanism}" if self.armed else "not armed"
        return f"{self.service} is {self.active} ({self.enabled}); {armed}"


class ReadWhen(StrEnum):
    """When a setting is read, and so what a change of it takes to come into effect."""

    LOADING = "as the capture kernel is loaded"
    CAPTURING = "by the capture itself"


@dataclass(frozen=True)
class Written:
    """Settings that are other ones now, and whether one of them is read by arming."""

    changed: Mapping[str, str]
    to_arm: bool

    @classmethod
    def of(cls, stack: "Stack", told: Mapping[str, str], wanted: Mapping[str, str]) -> Self:
        """What has to be written where ``told`` is in force."""
        changed = {name: value for name, value in wanted.items() if told[name] != value}
        return cls(changed, any(stack.settings[name] is ReadWhen.LOADING for name in changed))

    def __str__(self) -> str:
        if not self.changed:
            return "nothing changed"
        how = "capture kernel loaded anew" if self.to_arm else "nothing to load anew"
        return f"{', '.join(self.changed)}: {how}"


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

    @property
    def name(self) -> str:
        """Without the target that it lies in."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Artifact:
    """A file that the stack promises to leave in a dump directory: its name, its mode, its owner."""

    name: Pattern[str]
    mode: int
    owner: str = "root"
    older_modes: tuple[int, ...] = ()  # of releases that are still in use

    def promises(self, file: SavedFile) -> bool:
        """Whether it is this one, and as it shall be."""
        modes = {self.mode, *self.older_modes}
        return bool(self.name.fullmatch(file.name)) and file.mode in modes and file.owner == self.owner


@dataclass(frozen=True)
class Artifacts:
    """All that a stack promises of one crash.

    ``dmesg`` is the log of the kernel that panicked, ``capture_log`` that of the one which saved it,
    ``account`` what the stack itself says of how that went. None where there is none.
    """

    vmcore: Artifact
    dmesg: Artifact | None
    capture_log: Artifact | None = None
    account: Artifact | None = None

    @property
    def all(self) -> tuple[Artifact, ...]:
        """Each of them."""
        each = (self.vmcore, self.dmesg, self.capture_log, self.account)
        return tuple(artifact for artifact in each if artifact)


class Stack(Protocol):
    """One kdump implementation."""

    name: str
    tool: str  # the program by which it is known
    installers: tuple[str, ...]  # the programs one of which brings it where it is missing
    files: tuple[str, ...]  # all that ``write`` changes
    markers: Markers
    artifacts: Artifacts
    keeps: int | None  # so many dumps at most, the new one among them; None for all
    ends_with: FinalAction  # what the machine does once a dump is saved
    settings: Mapping[str, ReadWhen]  # of its configuration files, by name
    says_nothing_is_kept_aside: Pattern[str]  # in the service's account
    says_it_was_saved: Pattern[str] | None  # in the account beside a dump, if the stack leaves one
    remote: Remote | None  # where dumps are sent to; None when they stay
    elsewhere: str  # what takes them, in words; empty where it is the file system of the system that runs

    def translate(self, config: KdumpConfig) -> Translation:
        """A configuration of kdump.conf in the stack's own settings, and what it has no word for."""

    def configured(self, settings: Mapping[str, str]) -> "Stack":
        """The stack as it is with these settings: where its dumps lie then.

        Raises:
            BadInput: nobody could look there.
        """

    def unfit_for_a_host(self, settings: Mapping[str, str], changed: Mapping[str, str]) -> str:
        """Which of the ``settings`` a machine that is not ours must not crash with; empty where none.

        It would not come back by itself, or what is ``changed`` for the run could not be put back.
        """

    def install(self, shell: Shell, until: Deadline) -> None:
        """Bring what is missing of it from the machine's own repositories, and have it start at boot.

        Raises:
            LabError: they do not answer, or have no such package; carries the installer's words.
        """

    def boot_loader(self, shell: Shell, until: Deadline) -> BootLoader:
        """Where crashkernel= is kept for the next boot, by what is installed."""

    def own_crashkernel(self, shell: Shell, until: Deadline) -> str | None:
        """What the stack itself would reserve on this machine; None where it leaves that to the kernel."""

    def restart(self, shell: Shell, until: Deadline) -> None:
        """Arm anew with what is configured; ``state`` tells how it went."""

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """The settings of those names that are in force, in the words of the configuration file."""

    def write(self, shell: Shell, settings: Mapping[str, str], until: Deadline) -> Written:
        """Set what differs from what is set already; what is read by arming is in force after ``arm``.

        Between the two the machine that takes the dumps is brought up: some stacks ask for it as they arm.
        """

    def arm(self, shell: Shell, written: Written, until: Deadline) -> None:
        """Load the capture kernel anew, by what was written.

        Raises:
            NotArmed: no capture kernel is loaded with these settings.
        """

    def settle(self, shell: Shell, until: Deadline) -> None:
        """Wait until the boot has done all it will do for kdump, well or badly."""

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """Ask the service and the kernel."""

    def propagate(self, shell: Shell, until: Deadline) -> None:
        """Bring the key by which dumps are sent to the machine that takes them, the stack's own way.

        Raises:
            NotArmed: the stack could not.
        """

    def try_remote(self, shell: Shell, until: Deadline) -> Output:
        """Enter the machine that takes the dumps as the capture will, and leave nothing there."""

    def sender_of(self, directory: DumpDirectory) -> str:
        """The machine that sent a dump, as the stack wrote it beside the time; empty where it stayed."""

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Every dump directory at the target, oldest first; ``shell`` is of the machine that keeps them."""
