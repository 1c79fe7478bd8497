"""A guest: looked at through its console and its shell."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import DeadlineExpired, GuestLost, GuestNotReached, LabError
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.console import Console, Line
from kdump_tests.guest.file_channel import PORT, FileChannel
from kdump_tests.guest.hypervisor import Domain
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.shell import Copy, Shell
from kdump_tests.guest.spec import GuestSpec

# Seconds of the reference machine (see accelerator.py); a boot to SSH takes 40 there.
_FIRST_LINE_SECONDS = 30.0
_BOOT_SECONDS = 240.0
_SSH_SECONDS = 60.0
# From the command to the new kernel's first line, or to the end: services stop, firmware, boot loader.
_SHUTDOWN_SECONDS = 240.0
# A machine of ours starts with its kernel and has nothing to set up. Of another's, firmware and boot loader
# come before that, and cloud-init's Python alone takes 30 s of each boot.
_OWN_FIRST_LINE_SECONDS = 150.0
_OWN_BOOT_SECONDS = 900.0
# A server tests its memory and looks for its disks before it boots: half an hour is not unheard of.
COME_BACK_SECONDS = 2400.0
_GLANCE_SECONDS = 1.0
_COMMAND_SECONDS = 60.0

BOOT_ID = "/proc/sys/kernel/random/boot_id"

# Where a kernel is told to be quiet, the first that is heard of it is its login prompt.
_KERNEL_STARTS = re.compile(r"Linux version |login: ?$")
# SSH is about to answer: sshd says so, or a login prompt stands there.
SSH_NEAR = re.compile(r"Started ssh|Started .*OpenSSH|login: ?$")
# A shell or a question on the console, for a person who is not there.
STUCK = re.compile(r"You are in emergency mode|Give root password for maintenance|\(initramfs\)")
# Lines after which a booting machine will not get there.
_BOOT_FAILED = re.compile(
    rf"Kernel panic - not syncing|{STUCK.pattern}"
    r"|BdsDxe: No bootable option|No bootable device|Failed to start .*(ssh|OpenSSH)"
)


class Origin(StrEnum):
    """How a guest came to be."""

    COLD_BOOT = "cold boot"
    FORK = "fork of a saved state"


@dataclass
class Guest:
    """A running machine, made by ``lab.Lab.guest``. It has a console, a shell, a channel for files."""

    name: str
    spec: GuestSpec
    image: BuiltImage
    accelerator: Accelerator
    console: Console
    shell: Shell
    files: FileChannel | None  # None: it was not made by us, so the other end is not ours
    folder: Path  # in the report: console.log, domain.xml, commands.log
    root_disk: Path | None  # an overlay of the image's, its own; None where the disk is none of ours
    domain: Domain | None = None  # None: no hypervisor of ours holds it
    start_again: Callable[[], tuple[Console, Domain]] | None = field(default=None, repr=False)
    boot_seconds: float = 0.0  # until SSH answered, by whichever origin
    origin: Origin = Origin.COLD_BOOT
    origin_because: str = ""  # why it is that one, where the other was to be expected; else what is known
    has_console: bool = True
    _has_port: bool | None = None

    def deadline(self, seconds: float, what: str) -> Deadline:
        """A deadline of so many seconds of the reference machine."""
        return self.accelerator.deadline(seconds, f"{self.name}: {what}")

    def command_deadline(self) -> Deadline:
        """The deadline of an ordinary command."""
        return self.deadline(_COMMAND_SECONDS, "a command ends")

    def reach(self, console_start: int) -> None:
        """Wait until SSH answers after a boot whose lines begin at ``console_start``.

        Raises:
            GuestNotReached: the boot failed, stalled, or SSH does not answer; says at which line.
            GuestLost: the machine ended.
        """
        begun = time.monotonic()
        watched = self.watched
        if watched:
            self._follow_boot(console_start)
        seconds = _SSH_SECONDS if watched else COME_BACK_SECONDS
        until = self.deadline(seconds, "SSH answers after the boot")
        try:
            self.shell.connect(until, self.require_alive)
        except GuestNotReached as error:
            raise type(error)(error.message, **{**error.facts, **self.whereabouts()}) from None
        self.boot_seconds = time.monotonic() - begun

    def power_on(self) -> int:
        """Start the machine anew from its disks, whatever became of it; where its console goes on.

        Raises:
            LabError: it cannot be started.
        """
        if self.start_again is None:
            raise LabError(f"{self.name} is off, and its power switch is not ours")
        before = self.console.end
        self.shell.close()
        self.console, self.domain = self.start_again()
        return max(0, before - 1)  # its last line may have had no end

    def _follow_boot(self, console_start: int) -> None:
        own = self.image.image.boots_by_firmware
        first = self.deadline(_OWN_FIRST_LINE_SECONDS if own else _FIRST_LINE_SECONDS, "the first line")
        self._await_line(re.compile(""), console_start, first)
        both = re.compile(f"{SSH_NEAR.pattern}|{_BOOT_FAILED.pattern}")
        rest = self.deadline(_OWN_BOOT_SECONDS if own else _BOOT_SECONDS, "the boot ends")
        line = self._await_line(both, console_start, rest)
        if _BOOT_FAILED.search(line.text):
            raise self._not_reached("the guest does not boot", line)

    def come_back(self, before: str) -> str:
        """Wait, with no console to look at, until it runs again after boot ``before``; the new boot's id.

        Raises:
            HostKeyChanged: somebody else answers in its place.
            GuestNotReached: it did not come back in time.
            GuestLost: it never went.
        """
        until = self.deadline(COME_BACK_SECONDS, "the machine is back")
        while not until.expired:
            try:
                self.shell.connect(until, self.require_alive)
                now = self.boot_id()
            except (GuestLost, DeadlineExpired):
                self.require_alive()
                continue  # it went while it was asked
            if now != before:
                return now
            until.pause(_GLANCE_SECONDS)
        raise GuestLost(f"{self.name} still runs: nothing stopped it", waited_for=until.what)

    def reboot(self) -> None:
        """Boot again as a person would make it, through firmware and boot loader, until SSH answers.

        Raises:
            GuestNotReached, GuestLost: it did not come back.
        """
        before, start = self.boot_id(), self.console.end
        self._leave("systemctl reboot")
        until = self.deadline(_SHUTDOWN_SECONDS, "its kernel starts again")
        self.reach(self.console.index_of(self._await_line(_KERNEL_STARTS, start, until)))
        if self.boot_id() == before:
            raise GuestNotReached(f"{self.name} did not reboot", **self.whereabouts())

    def power_off(self) -> None:
        """Shut down in order; the machine is gone then, its disk whole."""
        self._leave("systemctl poweroff")
        until = self.deadline(_SHUTDOWN_SECONDS, "the machine is off")
        for _ in self.console.follow(self.console.end, until):
            pass

    def _leave(self, command: str) -> None:
        with suppress(GuestLost):  # it may be gone before it says that it goes
            self.shell.leave_running(command, self.command_deadline())
        self.shell.close()

    def boot_id(self) -> str:
        """The id that the kernel draws at each boot; the one proof of a reboot."""
        return self.read(BOOT_ID).strip()

    def read(self, *paths: str) -> str:
        """The text of files of the guest, one after the other."""
        return self.shell.run("cat", "--", *paths, until=self.command_deadline())

    def fetch(self, copies: Sequence[Copy], until: Deadline) -> None:
        """Copy files out of the guest, the fast way if it has the port for it.

        Raises:
            LabError: they did not come whole.
        """
        if self.files and self.has_file_port():
            self.files.fetch(self.shell, copies, until)
        else:
            self.shell.fetch(copies, until)

    def has_file_port(self) -> bool:
        """Whether the guest's system made a device of the file channel."""
        if self._has_port is None:
            self._has_port = (
                self.shell.attempt("test", "-c", PORT, until=self.command_deadline()).status == 0
            )
        return self._has_port

    @property
    def watched(self) -> bool:
        """Whether there is a console to look at. That of another's machine may end before the machine."""
        return self.has_console and (self.root_disk is not None or not self.console.closed)

    def require_alive(self) -> None:
        """Raise GuestLost when the machine is gone, as far as that can be told: of another's it cannot."""
        if self.root_disk is not None and self.console.closed:
            raise GuestLost(f"{self.name} is gone: QEMU ended", **self.whereabouts())

    def whereabouts(self) -> dict[str, str]:
        """What every error about this guest carries: its last words and where they all are."""
        return {"last_lines": self.console.tail(8), "console": str(self.console.record)}

    def _await_line(self, pattern: re.Pattern[str], start: int, until: Deadline) -> Line:
        try:
            line = self.console.expect(pattern, start, until)
        except DeadlineExpired as error:
            raise GuestNotReached(error.message, **self.whereabouts()) from None
        if line is None:
            raise GuestLost(f"{self.name} ended while it booted", **self.whereabouts())
        return line

    def _not_reached(self, message: str, line: Line) -> GuestNotReached:
        return GuestNotReached(
            f"{self.name}: {message}",
            decisive_line=line.text.strip(),
            last_lines=self.console.tail(8),
            console=f"{self.console.record}:{line.number}",
        )
