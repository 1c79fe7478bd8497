"""A memory map as a kernel leaves it: struct pages of several generations, found by sections."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.page_kinds import Kind
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

SIZE = 64
SECTION = 32  # frames; real ones have 32768
_SECTIONS_AT, _ROOTS_AT, _MAP_AT = 0x10_0000, 0x20_0000, 0x4000_0000
_FLAGS, _COMPOUND, _MAPPING, _PRIVATE, _MAPCOUNT = 0, 8, 24, 40, 48
_PER_ROOT = 4096 // 16

_ALL = {
    "PAGESIZE": "4096",
    "NUMBER(phys_base)": "0",
    "SYMBOL(mem_section)": f"{_ROOTS_AT:x}",
    "LENGTH(mem_section)": "1",
    "SIZE(mem_section)": "16",
    "OFFSET(mem_section.section_mem_map)": "8",
    "NUMBER(SECTION_SIZE_BITS)": "17",
    "NUMBER(MAX_PHYSMEM_BITS)": "25",
    "LENGTH(zone.free_area)": "11",
    "SIZE(page)": str(SIZE),
    "OFFSET(page.flags)": str(_FLAGS),
    "OFFSET(page.mapping)": str(_MAPPING),
    "OFFSET(page.private)": str(_PRIVATE),
    "OFFSET(page._mapcount)": str(_MAPCOUNT),
    "NUMBER(PG_lru)": "4",
    "NUMBER(PG_private)": "13",
    "NUMBER(PG_swapcache)": "10",
    "NUMBER(PG_swapbacked)": "19",
    "NUMBER(PG_head_mask)": "65536",
    "NUMBER(PG_hwpoison)": "22",
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)": "-129",
    "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)": "-257",
}
_COMPOUND_HEAD = {"OFFSET(page.compound_head)": str(_COMPOUND)}
_BY_TYPE = {"NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)": "-1025", "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)": "-2049"}
GENERATIONS = {
    "6.1": _ALL
    | _COMPOUND_HEAD
    | {
        "NUMBER(PG_slab)": "9",
        "OFFSET(page.compound_order)": "17",
        "OFFSET(page.compound_dtor)": "16",
        "NUMBER(HUGETLB_PAGE_DTOR)": "2",
    },
    "6.3": _ALL
    | _COMPOUND_HEAD
    | {
        "NUMBER(PG_slab)": "9",
        "OFFSET(folio._folio_order)": str(SIZE + 17),
        "OFFSET(folio._folio_dtor)": str(SIZE + 16),
        "NUMBER(HUGETLB_PAGE_DTOR)": "2",
    },
    "6.6": _ALL | _COMPOUND_HEAD | {"NUMBER(PG_slab)": "9", "NUMBER(PG_hugetlb)": "8"},
    "6.12": _ALL | _COMPOUND_HEAD | _BY_TYPE,
    "7.1": _ALL | {"OFFSET(page.compound_info)": str(_COMPOUND)} | _BY_TYPE,
}


@dataclass(frozen=True)
class Block:
    """Frames that follow each other and are one thing. ``what`` is one of the words below."""

    what: str
    order: int = 0

    @property
    def kind(self) -> Kind:
        """What becomes of it."""
        return KINDS[self.what]


KINDS = {
    "free": Kind.FREE,
    "cache": Kind.CACHE,
    "private cache": Kind.PRIVATE_CACHE,
    "anonymous": Kind.USER,
    "swap cache": Kind.CACHE,
    "hugetlb": Kind.USER,
    "poisoned": Kind.BROKEN,
    "offline": Kind.BROKEN,
    "slab": Kind.KERNEL,
    "odd slab": Kind.KERNEL,
    "kernel": Kind.KERNEL,
    "kernel with odd tails": Kind.KERNEL,
}
_ALONE = {"poisoned", "offline"}
BLOCKS = [Block(what, order) for what in KINDS for order in range(4) if not (order and what in _ALONE)]


class MemoryMap:
    """The map of blocks in a row, each at a multiple of its size; what is between is the kernel's."""

    def __init__(self, generation: str, blocks: Sequence[Block]) -> None:
        self.vmcoreinfo = Vmcoreinfo(GENERATIONS[generation])
        self.kinds: list[Kind] = []
        self.structs = bytearray()
        self.missing: set[int] = set()  # frames whose struct pages the dump has not got
        for block in blocks:
            while len(self.kinds) % (1 << block.order):
                self._add("kernel", 0)
            self._add(block.what, block.order)
        while len(self.kinds) % SECTION:
            self._add("kernel", 0)

    def read(self, address: int, size: int) -> bytes:
        """Memory of the crashed kernel."""
        if address == _ROOTS_AT:
            return struct.pack("<Q", _SECTIONS_AT)
        if _SECTIONS_AT <= address < _SECTIONS_AT + 16 * _PER_ROOT:
            present = (address - _SECTIONS_AT) // 16 < len(self.kinds) // SECTION
            return struct.pack("<Q", _MAP_AT | 0x1F if present else 0)
        first, end = (address - _MAP_AT) // SIZE, (address - _MAP_AT + size) // SIZE
        if not 0 <= first < end <= len(self.kinds) or self.missing & set(range(first, end)):
            raise Flaw(f"no memory at {address:#x}")
        return bytes(self.structs[first * SIZE : end * SIZE])

    def _add(self, what: str, order: int) -> None:
        info = self.vmcoreinfo
        typed = "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)" in info
        head, count = bytearray(SIZE), 1 << order
        flags, mapping, mapcount = 0, 0, -1
        if what == "free":
            mapcount = -129
            struct.pack_into("<Q", head, _PRIVATE, order)
        elif what in {"cache", "private cache"}:
            flags, mapping = 1 << 4, 0x1000
        elif what == "anonymous":
            flags, mapping = 1 << 4 | 1 << 19, 0x1001
        elif what == "swap cache":
            flags = 1 << 10 | 1 << 19
        elif what == "poisoned":
            flags = 1 << 22
        elif what == "offline":
            mapcount = -257
        elif what in {"slab", "odd slab"}:
            flags, mapcount = (0, -1025) if typed else (1 << 9, -1)
            mapping = what == "odd slab"
        elif what == "hugetlb" and typed:
            mapcount = -2049
        flags |= (what == "private cache") << 13
        compound = count > 1 and what != "free"
        struct.pack_into("<Q", head, _FLAGS, flags | compound << 16)
        struct.pack_into("<Q", head, _MAPPING, mapping)
        struct.pack_into("<i", head, _MAPCOUNT, mapcount)
        self.structs += head
        for number in range(1, count):
            tail = bytearray(SIZE)
            struct.pack_into("<i", tail, _MAPCOUNT, -1)
            if compound:
                struct.pack_into("<Q", tail, _COMPOUND, 0x2001)
                struct.pack_into("<Q", tail, _MAPPING, what == "kernel with odd tails")
                if number == 1:
                    self._describe(tail, order, what)
            self.structs += tail
        # No order, no tail, no word that it is one of hugetlbfs: before 6.12, only a compound page can tell.
        kind = Kind.KERNEL if what == "hugetlb" and not compound else KINDS[what]
        self.kinds += [kind] * count

    def _describe(self, tail: bytearray, order: int, what: str) -> None:
        if "NUMBER(HUGETLB_PAGE_DTOR)" in self.vmcoreinfo:
            tail[16], tail[17] = (2 if what == "hugetlb" else 1), order
        else:
            tail[_FLAGS] = order
            tail[_FLAGS + 1] = "NUMBER(PG_hugetlb)" in self.vmcoreinfo and what == "hugetlb"
