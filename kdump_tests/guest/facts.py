"""What a running guest says of its kernel and its memory: read once, kept as values."""

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kdump_tests.crashkernel.reservation import (
    Announcement,
    Reservation,
    parse_boot_log,
    parse_crash_size,
    parse_iomem,
)
from kdump_tests.errors import LabError
from kdump_tests.guest.machine import BOOT_ID, Guest

_RELEASE = "/proc/sys/kernel/osrelease"
_COMMAND_LINE = "/proc/cmdline"
_NT_GNU_BUILD_ID = 3
_INIT = 1


@dataclass(frozen=True)
class KernelFacts:
    """The kernel that runs: what a dump of it must name."""

    release: str
    build_id: str  # hex
    command_line: str
    boot_id: str


@dataclass(frozen=True)
class Process:
    """A process as /proc tells of it. ``comm`` is its name."""

    pid: int
    comm: str
    parent: int


@dataclass(frozen=True)
class Witnesses:
    """The three who know how much memory is kept aside: kexec_crash_size in bytes, iomem, the boot log."""

    sysfs: int
    iomem: Reservation
    boot_log: Announcement

    @property
    def agree(self) -> bool:
        """Whether they tell of one and the same reservation.

        The boot log of Linux 6.1 speaks in whole MiB, and its kexec_crash_size leaves out the low piece.
        """
        said, told = self.boot_log.reservation, self.boot_log.as_told(self.iomem)
        same_pieces = (said.main, said.low) == (told.main, told.low)
        return same_pieces and self.sysfs in {self.iomem.total, self.iomem.main}


def witnesses(guest: Guest) -> Witnesses:
    """Ask all three. The boot log is kept in the guest's folder too."""
    log = guest.shell.run("dmesg", until=guest.command_deadline())
    (guest.folder / "boot.log").write_text(log)
    # Both at once: every command costs a fifth of a second under TCG. The first is one line.
    crash_size, _, iomem = guest.read("/sys/kernel/kexec_crash_size", "/proc/iomem").partition("\n")
    return Witnesses(
        sysfs=parse_crash_size(crash_size), iomem=parse_iomem(iomem), boot_log=parse_boot_log(log)
    )


def kernel_facts(guest: Guest) -> KernelFacts:
    """Ask a guest for its kernel."""
    until = guest.command_deadline()
    notes = guest.shell.run("base64", "--wrap=0", "/sys/kernel/notes", until=until)
    # One line each, read at once: every command costs a fifth of a second under TCG.
    told = guest.read(_RELEASE, BOOT_ID, _COMMAND_LINE)
    try:
        release, boot_id, command_line = told.removesuffix("\n").split("\n")
    except ValueError:
        raise LabError("the guest tells of its kernel in an unknown form", said=told[:500]) from None
    return KernelFacts(release, build_id(notes), command_line, boot_id)


def services(guest: Guest) -> tuple[Process, ...]:
    """Init and its children: they stay, where commands come and go, and none is a thread of the kernel's."""
    # Some are gone by the time that cat comes to them.
    script = "cat /proc/[0-9]*/stat 2> /dev/null || true"
    told = parse_processes(guest.shell.run("sh", "-c", script, until=guest.command_deadline()))
    return tuple(process for process in told if _INIT in (process.pid, process.parent))


def parse_processes(stat: str) -> Iterator[Process]:
    """Out of /proc/PID/stat, a line each (proc(5)). A name may hold blanks and brackets, and a newline."""
    for match in re.finditer(
        r"^(\d{1,7}) \((.{1,64}?)\) [A-Za-z] (\d{1,7}) -?\d+ ", stat, re.MULTILINE | re.DOTALL
    ):
        yield Process(int(match[1]), match[2], int(match[3]))


def build_id(encoded_notes: str) -> str:
    """The build id, in hex, out of base64 of /sys/kernel/notes (ELF notes; NT_GNU_BUILD_ID of elf.h).

    Raises:
        LabError: there is none, or these are not notes.
    """
    try:
        notes = base64.b64decode(encoded_notes, validate=True)
        offset = 0
        while offset + 12 <= len(notes):
            name_size, size, kind = struct.unpack_from("<III", notes, offset)
            name = offset + 12
            content = name + (name_size + 3 & ~3)
            if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0":
                return notes[content : content + size].hex()
            offset = content + (size + 3 & ~3)
    except ValueError:  # not base64, or not even ASCII
        pass
    raise LabError("the guest's /sys/kernel/notes hold no build id", got=encoded_notes[:120])
