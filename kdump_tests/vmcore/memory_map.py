"""The crashed kernel's memory map: a struct page for each page frame, out of the memory in its dump.

Found as makedumpfile finds it (get_mm_sparsemem() of 1.7.9): by section, with SPARSEMEM_EXTREME, as
distributions build their x86_64 kernels since 2.6.26. Linux 4.15 and later tell the array's own address as
SYMBOL(mem_section) (VMCOREINFO_SYMBOL_ARRAY of a0b1280368d1).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from kdump_tests.vmcore.flaw import Flaw, Unknown
from kdump_tests.vmcore.printk import Read
from kdump_tests.vmcore.shape import FrameSets
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_LONG = struct.Struct("<Q")
_PRESENT = 1  # SECTION_MARKED_PRESENT
_FLAGS = (1 << 5) - 1  # below SECTION_MAP_LAST_BIT, where the map's address has zeros
_MAX_FRAMES = 1 << 18  # of a section: SECTION_SIZE_BITS is 27 on x86_64, and 30 at most elsewhere
_MAX_SECTIONS = 1 << 22  # 512 TiB of x86_64, where the largest machines have 64
_MAX_STRUCT = 256  # bytes of a struct page; 64 as distributions build it


class Piece(NamedTuple):
    """Page frames that follow each other, and their struct pages.

    Empty where the kernel has none of them, None where the dump has not got those that it has.
    """

    frames: range
    structs: bytes | None


def memory_map(read: Read, sections: "Sections", wanted: FrameSets) -> Iterator[Piece]:
    """The memory map, but for sections of which no frame exists: 2 MiB of it at a time on x86_64.

    Raises:
        Flaw: the array of sections cannot be read.
        Unknown: there would be more of them than any machine has.
    """
    if wanted.max_mapnr > _MAX_SECTIONS * sections.frames:
        raise Unknown(f"its memory would reach to frame {wanted.max_mapnr}")
    for number, first in enumerate(range(0, wanted.max_mapnr, sections.frames)):
        frames = range(first, min(first + sections.frames, wanted.max_mapnr))
        exist, _ = wanted.of(frames)
        if not exist:
            continue
        root = _pointer(read, sections.roots + number // sections.per_root * _LONG.size)
        if not root:
            yield Piece(frames, b"")
            continue
        section = root + number % sections.per_root * sections.section_size
        coded = _pointer(read, section + sections.map_at)
        if not coded & _PRESENT:
            yield Piece(frames, b"")
            continue
        start = (coded & ~_FLAGS) + first * sections.page_struct
        yield from _structs(read, frames, start % (1 << 64), sections)


class Sections(NamedTuple):
    """How the map is found. Sizes in bytes, but ``frames`` (of a section) and ``per_root`` are counts."""

    roots: int  # where the array of pointers to arrays of sections is
    per_root: int
    section_size: int
    map_at: int
    frames: int
    page_size: int
    page_struct: int

    @classmethod
    def of(cls, vmcoreinfo: Vmcoreinfo) -> "Sections":
        """As VMCOREINFO tells it.

        Raises:
            Unknown: it does not, or what cannot be.
        """
        try:
            page_size, section_size = vmcoreinfo.page_size, vmcoreinfo.struct_size("mem_section")
            bits, most_bits = vmcoreinfo.number("SECTION_SIZE_BITS"), vmcoreinfo.number("MAX_PHYSMEM_BITS")
            page_struct, roots = vmcoreinfo.struct_size("page"), vmcoreinfo.length("mem_section")
            sections = cls(
                roots=vmcoreinfo.symbol("mem_section"),
                per_root=page_size // max(section_size, 1),
                section_size=section_size,
                map_at=vmcoreinfo.offset("mem_section.section_mem_map"),
                frames=(1 << min(max(bits, 0), 64)) // page_size,
                page_size=page_size,
                page_struct=page_struct,
            )
        except Flaw as flaw:
            raise Unknown(str(flaw)) from flaw
        if not 8 <= sections.frames <= _MAX_FRAMES or not 0 < page_struct <= _MAX_STRUCT:
            raise Unknown(f"its sections have {sections.frames} struct pages of {page_struct} bytes each")
        if not sections.per_root or roots * sections.per_root != 1 << min(max(most_bits - bits, 0), 64):
            raise Unknown("its array of sections is not that of SPARSEMEM_EXTREME")
        return sections


def _pointer(read: Read, address: int) -> int:
    try:
        return int(_LONG.unpack(read(address, _LONG.size))[0])
    except Flaw as flaw:
        raise Flaw(f"its memory map cannot be found where its page tables lead: {flaw}") from flaw


def _structs(read: Read, frames: range, start: int, sections: Sections) -> Iterator[Piece]:
    try:
        yield Piece(frames, read(start, len(frames) * sections.page_struct))
        return
    except Flaw:
        pass
    # Some of it is left out, as memory hotplug and `makedumpfile -e` do: page by page of the map, then.
    step = max(sections.page_size // sections.page_struct, 1)
    for first in range(frames.start, frames.stop, step):
        few = range(first, min(first + step, frames.stop))
        try:
            structs = read(
                start + (first - frames.start) * sections.page_struct, len(few) * sections.page_struct
            )
        except Flaw:
            yield Piece(few, None)
        else:
            yield Piece(few, structs)
