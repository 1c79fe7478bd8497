"""What a guest shall be, before there is one."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdump_tests.errors import BadInput
from kdump_tests.sizes import MIB, format_size

# Below this Debian's kernel and initrd do not reach userspace.
SMALLEST_MEMORY = 256 * MIB
# What a booted Debian and its capture kernel ever touch, and what QEMU takes beside the guest's memory:
# TCG's translations, devices, itself.
_WORKING_SET = 768 * MIB
_QEMU = 320 * MIB


# What starts a machine whose image has a boot loader of its own; secure-boot is UEFI with it.
Firmware = Literal["bios", "uefi", "secure-boot"]


def short_name(image: str) -> str:
    """What an image is called where names go into paths: its own name, or that of the file it is."""
    name, _, _ = image.partition("=")  # NAME=PATH: a description, and the disk that it is of
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(image).stem if "/" in name else name)


@dataclass(frozen=True)
class Disk:
    """A disk beside the root disk, which the guest finds under /dev/disk/by-id/virtio-SERIAL.

    Empty, unless there is a file of raw ``content``, which is not written to.
    """

    serial: str
    size: int  # bytes
    content: Path | None = None


@dataclass(frozen=True)
class Link:
    """A private Ethernet segment: guests of one run that name the same link see each other."""

    name: str


@dataclass(frozen=True)
class GuestSpec:
    """A machine to provision. A value: it is compared, hashed and printed, and knows of no guest.

    ``image`` is one of images/, or the path of a disk that somebody brought; ``firmware`` starts it where it
    has a boot loader of its own.
    ``crashkernel`` is what goes on the kernel command line, None leaves the parameter out. ``purpose`` tells
    guests apart that are the same machine.
    """

    image: str
    memory: int  # bytes
    crashkernel: str | None
    vcpus: int = 1
    kernel_arguments: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    links: tuple[Link, ...] = ()
    purpose: str = ""
    firmware: Firmware = "bios"
    exists: bool = False  # it is a host that is there already: its memory is what it is

    def __post_init__(self) -> None:
        if self.memory < SMALLEST_MEMORY or self.memory % MIB:
            raise BadInput(
                f"a guest cannot have {format_size(self.memory)} of memory",
                reason=f"it takes at least {format_size(SMALLEST_MEMORY)}, in whole MiB",
            )
        if self.vcpus < 1:
            raise BadInput(f"a guest cannot have {self.vcpus} CPUs")

    @property
    def real_memory(self) -> int:
        """Bytes of this host's memory that the guest takes at most, through a crash and a reboot.

        A guest touches what it works with, and the kernel describes every page in 64 bytes (struct page).
        Measured, QEMU's peak under TCG: 590 MiB with 1 GiB of memory.
        """
        return min(self.memory, _WORKING_SET + self.memory // 64) + _QEMU

    @property
    def name(self) -> str:
        """Image, memory and purpose: ``debian-12-2G``, ``debian-12-2G-hung-task``. Tests have it as id."""
        if self.exists:
            return short_name(self.image)
        return "-".join(filter(None, (short_name(self.image), format_size(self.memory), self.purpose)))
