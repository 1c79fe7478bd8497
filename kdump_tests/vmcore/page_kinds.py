"""What each page frame held when the kernel died, by its struct page: why makedumpfile may leave it out.

Source: __exclude_unnecessary_pages() of makedumpfile b7587f1 (1.7.9 and one mend), which goes from frame to
frame. Here one thing is asked of all frames of a section at once: a set of frames is an int with a bit for
each, and byte 24 of every struct page is one slice of their memory.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from kdump_tests.vmcore.flaw import Flaw, Unknown
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_MAX_COMPOUND_ORDER = 18  # hugetlb pages of 1 GiB; MAX_FOLIO_ORDER
_MAPPING_ANON = 0  # bit of page.mapping, PAGE_MAPPING_ANON
_TAIL = 0  # bit of page.compound_head


class Kind(StrEnum):
    """Why a page may be left out, in the words of the dump level; or that it may not."""

    FREE = "free pages"
    CACHE = "page cache"
    PRIVATE_CACHE = "private page cache"
    USER = "user data"
    # Left out at every level above 1: nothing can be read there.
    BROKEN = "broken or offline pages"
    KERNEL = "memory of the kernel's own"


@dataclass(frozen=True)
class Kinds:
    """Disjoint sets of frames that together are all of a piece; bit 0 is its first frame.

    ``taken_for_user`` are those of the kernel's that a makedumpfile older than it takes for a user's.
    """

    of: dict[Kind, int]
    taken_for_user: int


@dataclass(frozen=True)
class PageLayout:
    """Where a kernel keeps what tells the kinds apart. Offsets in bytes of a struct page, flags as bits.

    None where the kernel does not tell it: then no page is of that kind.
    """

    size: int
    flags: int
    mapping: int
    mapcount: int
    private: int
    compound_head: int
    order: int | None  # in the first tail
    hugetlb_in_tail: tuple[int, int] | None  # 6.6 to 6.8: byte of the first tail and the bit in it
    hugetlb_destructor: tuple[int, int] | None  # up to 6.5: byte of the first tail and what it is then
    lru: int
    private_flag: int
    swapcache: int
    swapbacked: int | None
    head: int
    slab: int | None
    hwpoison: int | None
    buddy: int  # and further values of page._mapcount
    slab_type: int | None
    hugetlb_type: int | None
    offline_type: int | None
    unaccepted_type: int | None
    orders: int  # of free blocks: so many, from 0

    @classmethod
    def of(cls, vmcoreinfo: Vmcoreinfo) -> "PageLayout":
        """As VMCOREINFO tells it.

        Raises:
            Unknown: it tells too little, or what cannot be.
        """
        try:
            return cls._of(vmcoreinfo)
        except Flaw as flaw:
            raise Unknown(str(flaw)) from flaw

    @classmethod
    def _of(cls, vmcoreinfo: Vmcoreinfo) -> "PageLayout":

        def perhaps(name: str) -> int | None:
            return vmcoreinfo.number(name) if f"NUMBER({name})" in vmcoreinfo else None

        size, flags = vmcoreinfo.struct_size("page"), vmcoreinfo.offset("page.flags")
        # 7.1 calls it compound_info (d50569612c29); whether a page is a tail stays its lowest bit.
        head = "page.compound_head" if "OFFSET(page.compound_head)" in vmcoreinfo else "page.compound_info"
        order = destructor = None
        if "NUMBER(PG_hugetlb)" in vmcoreinfo or "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)" in vmcoreinfo:
            order = flags  # 6.6: the lowest byte of folio._flags_1
        elif "OFFSET(folio._folio_order)" in vmcoreinfo:
            order = vmcoreinfo.offset("folio._folio_order") - size
            destructor = vmcoreinfo.offset("folio._folio_dtor") - size
        elif "OFFSET(page.compound_order)" in vmcoreinfo:
            order = vmcoreinfo.offset("page.compound_order")
            destructor = vmcoreinfo.offset("page.compound_dtor")
        in_tail, value = perhaps("PG_hugetlb"), perhaps("HUGETLB_PAGE_DTOR")
        layout = cls(
            size=size,
            flags=flags,
            mapping=vmcoreinfo.offset("page.mapping"),
            mapcount=vmcoreinfo.offset("page._mapcount"),
            private=vmcoreinfo.offset("page.private"),
            compound_head=vmcoreinfo.offset(head),
            order=order,
            hugetlb_in_tail=None if in_tail is None else (flags, in_tail),
            hugetlb_destructor=None if destructor is None or value is None else (destructor, value),
            lru=vmcoreinfo.number("PG_lru"),
            private_flag=vmcoreinfo.number("PG_private"),
            swapcache=vmcoreinfo.number("PG_swapcache"),
            swapbacked=perhaps("PG_swapbacked"),
            head=max(vmcoreinfo.number("PG_head_mask"), 0).bit_length() - 1,
            slab=perhaps("PG_slab"),
            hwpoison=perhaps("PG_hwpoison"),
            buddy=vmcoreinfo.number("PAGE_BUDDY_MAPCOUNT_VALUE"),
            slab_type=perhaps("PAGE_SLAB_MAPCOUNT_VALUE"),
            hugetlb_type=perhaps("PAGE_HUGETLB_MAPCOUNT_VALUE"),
            offline_type=perhaps("PAGE_OFFLINE_MAPCOUNT_VALUE"),
            unaccepted_type=perhaps("PAGE_UNACCEPTED_MAPCOUNT_VALUE"),
            orders=vmcoreinfo.length("zone.free_area"),
        )
        layout._check()
        return layout

    def _check(self) -> None:
        words = (self.flags, self.mapping, self.private, self.compound_head)
        bits = (
            self.lru,
            self.private_flag,
            self.swapcache,
            self.swapbacked,
            self.head,
            self.slab,
            self.hwpoison,
            self.hugetlb_in_tail and self.hugetlb_in_tail[1],
        )
        first_tail = (self.order, self.hugetlb_destructor and self.hugetlb_destructor[0])
        if (
            max(words) + 8 > self.size
            or self.mapcount + 4 > self.size
            or not all(0 <= at < self.size for at in first_tail if at is not None)
            or not all(0 <= bit < 64 for bit in bits if bit is not None)
            or not 0 < self.orders <= _MAX_COMPOUND_ORDER
        ):
            raise Flaw("its VMCOREINFO describes a struct page that cannot be")


class Judge:
    """Tells kinds piece by piece, in the order of the frames: a block may reach into the next piece."""

    def __init__(self, layout: PageLayout) -> None:
        self._layout = layout
        self._next = 0
        self._reaching = dict.fromkeys(Kind, 0)  # sets of frames, whose first is the next

    def kinds(self, frames: range, structs: bytes) -> Kinds:
        """Of frames behind those that were asked for before."""
        layout, count = self._layout, len(frames)
        pages, everything = _Structs(structs, layout.size, count), (1 << count) - 1
        passed, self._next = frames.start - self._next, frames.stop
        for kind in self._reaching:
            self._reaching[kind] >>= passed
        found = dict.fromkeys(Kind, 0)
        left = everything

        def take(kind: Kind, blocks: int) -> None:
            nonlocal left
            blocks |= self._reaching[kind]
            self._reaching[kind] = blocks >> count
            found[kind] |= blocks & left
            left &= ~blocks

        def flag(bit: int | None) -> int:
            return 0 if bit is None else pages.bit(layout.flags, bit)

        def of_type(value: int | None) -> int:
            return 0 if value is None else pages.equal(layout.mapcount, value)

        take(Kind.BROKEN, flag(layout.hwpoison))
        take(Kind.FREE, self._free(pages, of_type(layout.buddy)))
        take(Kind.BROKEN, _block(of_type(layout.unaccepted_type), layout.orders - 1))
        slab = flag(layout.slab) | of_type(layout.slab_type)
        tails = pages.bit(layout.compound_head, _TAIL)
        heads = flag(layout.head) & ~tails
        odd = pages.bit(layout.mapping, _MAPPING_ANON)
        swapped = flag(layout.swapcache) & (
            everything if layout.swapbacked is None else flag(layout.swapbacked)
        )
        cached = (flag(layout.lru) | swapped) & ~tails
        anonymous = odd & ~slab & ~tails
        of_cache = cached & ~anonymous
        hugetlb = of_type(layout.hugetlb_type) & heads | self._hugetlb(pages, heads)
        private = flag(layout.private_flag)
        for kind, some in (
            (Kind.PRIVATE_CACHE, of_cache & private),
            (Kind.CACHE, of_cache & ~private),
            (Kind.USER, anonymous | hugetlb),
        ):
            take(kind, self._compounds(pages, some & left, heads))
        take(Kind.BROKEN, of_type(layout.offline_type) & ~slab)
        found[Kind.KERNEL] |= left
        mistaken = (
            self._compounds(pages, left & odd & ~tails, heads) | left & (odd | flag(layout.lru)) & tails
        )
        return Kinds(found, mistaken & left)

    def _free(self, pages: "_Structs", heads: int) -> int:
        return self._blocks(pages, heads, self._layout.private, range(self._layout.orders), in_tail=False)

    def _compounds(self, pages: "_Structs", some: int, heads: int) -> int:
        """All frames of the pages that ``some`` begin; ``heads`` begin more than one frame."""
        order, compound = self._layout.order, some & heads
        if order is None or not compound:
            return some
        orders = range(_MAX_COMPOUND_ORDER + 1)
        return some & ~heads | self._blocks(pages, compound, order, orders, in_tail=True) | some

    @staticmethod
    def _blocks(pages: "_Structs", heads: int, offset: int, orders: range, *, in_tail: bool) -> int:
        blocks = 0
        for order in pages.values(offset) & set(orders):
            of_order = heads & _multiples(order, pages.count)
            blocks |= _block(of_order & (pages.equal(offset, order, 1) >> in_tail), order)
        return blocks

    def _hugetlb(self, pages: "_Structs", heads: int) -> int:
        found = 0
        if self._layout.hugetlb_in_tail:
            found |= pages.bit(*self._layout.hugetlb_in_tail) >> 1
        if self._layout.hugetlb_destructor:
            found |= pages.equal(*self._layout.hugetlb_destructor, 1) >> 1
        return found & heads


class _Structs:
    """Struct pages that follow each other, all asked at once: answers have a bit for each."""

    def __init__(self, raw: bytes, size: int, count: int) -> None:
        self._raw, self._size, self.count = raw, size, count

    def bit(self, offset: int, number: int) -> int:
        """Those in which a bit of the word at ``offset`` is set."""
        return self._where(offset + number // 8, _with_bit(number % 8))

    def equal(self, offset: int, value: int, size: int = 4) -> int:
        """Those in which the ``size`` bytes at ``offset`` are ``value``."""
        found = -1
        for place, byte in enumerate((value & ((1 << 8 * size) - 1)).to_bytes(size, "little")):
            found &= self._where(offset + place, _equal_to(byte))
        return found

    def values(self, offset: int) -> set[int]:
        """What the byte at ``offset`` is, in whichever."""
        return set(self._raw[offset :: self._size])

    def _where(self, offset: int, digits: bytes) -> int:
        # Bit 0 is the last digit of a number as it is written.
        return int(self._raw[offset :: self._size].translate(digits)[::-1], 2)


@cache
def _with_bit(number: int) -> bytes:
    return bytes(ord("1") if byte >> number & 1 else ord("0") for byte in range(256))


@cache
def _equal_to(value: int) -> bytes:
    return bytes(ord("1") if byte == value else ord("0") for byte in range(256))


@cache
def _multiples(order: int, count: int) -> int:
    """The frames where a block of this order may begin."""
    step = 1 << order
    return ((1 << -(-count // step) * step) - 1) // ((1 << step) - 1)


def _block(heads: int, order: int) -> int:
    """All frames of the blocks of this order that begin with ``heads``."""
    for step in range(order):
        heads |= heads << (1 << step)
    return heads
