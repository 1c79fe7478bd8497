"""Where a machine has its RAM, and whether a reservation finds room there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType

from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB


@dataclass(frozen=True)
class Placement:
    """An architecture's rules, on the machine that QEMU makes of it. All sizes in bytes.

    ``ram_at`` is where RAM begins, ``ram_below_4g`` what of it lies below 4 GiB when there is more than
    that, the rest beginning at 4 GiB; None where 4 GiB are no boundary. Less than ``ram_divided`` lies
    below 4 GiB as a whole, though it be more than that. ``taken`` is room for the kernel,
    its initrd and alignment, and ``first`` what is never free at the beginning. ``base_at_most``: there is
    no search, but one place for all, no higher than this.
    """

    architecture: str
    align: int
    ram_at: int = 0
    ram_below_4g: int | None = None
    ram_divided: int = 0
    default_low: int = 0
    has_cma: bool = False
    kaslr: bool = True
    taken: int = 128 * MIB
    first: int = 16 * MIB
    base_at_most: int | None = None

    @property
    def probed(self) -> "Placement":
        """As the probe has it, which leaves nothing to chance."""
        return replace(self, kaslr=False)


class Fits(IntEnum):
    """Whether a piece of memory is free."""

    NEVER = 0
    PERHAPS = 1
    SURELY = 2


@dataclass(frozen=True)
class Room:
    """The RAM of one machine of so many bytes."""

    memory: int
    placement: Placement

    def below(self, size: int) -> Fits:
        """Whether so much finds a place below 4 GiB, or at all where that is no boundary."""
        if self.placement.base_at_most is not None:
            # Half of what firmware calls the real mode area, which is a power of two.
            base = min((1 << self.memory.bit_length() - 1) // 2, self.placement.base_at_most)
            return Fits.SURELY if base + size <= self.memory else Fits.NEVER
        return self._fits(size, self._low) if size <= self._low - self.placement.first else Fits.NEVER

    def above(self, size: int) -> Fits:
        """Whether so much finds a place above 4 GiB."""
        return self._fits(size, self.memory - self._low)

    def at(self, offset: int, size: int) -> Fits:
        """Whether just this place is free."""
        begin = self.placement.ram_at
        low_end, high_end = begin + self._low, 4 * GIB + self.memory - self._low
        within = begin <= offset and offset + size <= low_end
        within |= offset >= 4 * GIB and offset + size <= high_end
        return Fits.PERHAPS if within else Fits.NEVER

    @property
    def _low(self) -> int:
        below = self.placement.ram_below_4g
        if below is None or self.memory < self.placement.ram_divided:
            return self.memory
        return min(self.memory, below)

    def _fits(self, size: int, ram: int) -> Fits:
        # With KASLR the kernel may lie in the middle, and one half of the rest must be enough.
        sure = (ram - self.placement.taken) // (2 if self.placement.kaslr else 1)
        return Fits.SURELY if size <= sure else Fits.PERHAPS if size <= ram else Fits.NEVER


X86_64 = Placement(
    "x86_64",
    align=16 * MIB,  # CRASH_ALIGN
    ram_below_4g=2 * GIB,  # QEMU's q35 (hw/i386/pc_q35.c), which puts PCI above 2 GiB
    ram_divided=0xB0000000,  # where less than that fits below the memory-mapped PCI configuration
    # max(swiotlb + 8M, 256M), and swiotlb has 64M unless told otherwise (crash_low_size_default()).
    default_low=256 * MIB,
    has_cma=True,
)
ARM64 = Placement(
    "arm64",
    align=2 * MIB,  # CRASH_ALIGN
    ram_at=1 * GIB,  # QEMU's virt (hw/arm/virt.c)
    ram_below_4g=3 * GIB,
    default_low=128 * MIB,  # DEFAULT_CRASH_KERNEL_LOW_SIZE
    # The device tree lies 128M from the beginning, and 64M are CMA.
    taken=256 * MIB,
)
PPC64LE = Placement("ppc64le", align=64 << 10, base_at_most=512 * MIB)  # arch/powerpc/kexec/core.c

PLACEMENTS: Mapping[str, Placement] = MappingProxyType(
    {placement.architecture: placement for placement in (X86_64, ARM64, PPC64LE)}
)


def placement_of(architecture: str) -> Placement:
    """That of one architecture.

    Raises:
        BadInput: its rules are not known.
    """
    if architecture not in PLACEMENTS:
        raise BadInput(
            f"what a kernel of {architecture} keeps aside cannot be told", known=", ".join(PLACEMENTS)
        )
    return PLACEMENTS[architecture]
