"""The proof of what was saved: for each frame the kernel's own memory map says whether it had to be.

The format guards its second bitmap by nothing: with two of its blocks in each other's place, every page is
still in the file, under another's address. The memory map in the dump tells what makedumpfile saw when it
chose (see page_kinds), so the choice can be made again: what the dump level keeps must be stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from kdump_tests.vmcore.flaw import Flaw, Unknown
from kdump_tests.vmcore.memory_map import Piece, Sections, memory_map
from kdump_tests.vmcore.page_kinds import Judge, Kind, Kinds, PageLayout
from kdump_tests.vmcore.printk import Read
from kdump_tests.vmcore.shape import FrameSets, kinds_left_out
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_ZEROS_ALONE = 1  # up to this level, makedumpfile does not look at the memory map


@dataclass(frozen=True)
class PagesOfKind:
    """How many pages of one kind there were, by what became of them."""

    kind: Kind
    stored: int
    left_out: int


@dataclass(frozen=True)
class KeptPages:
    """All pages by kind. ``remarks`` are clauses on what makedumpfile did otherwise than its level says.

    ``lost`` are pages of the kernel's own that a makedumpfile older than the kernel took for a user's.
    """

    kinds: tuple[PagesOfKind, ...]
    lost: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class MapOfPages:
    """What it takes to tell the kind of each page of a dump."""

    sections: Sections
    layout: PageLayout
    frame_sets: FrameSets

    @classmethod
    def of(cls, vmcoreinfo: Vmcoreinfo, frame_sets: FrameSets) -> Self:
        """As the kernel describes it.

        Raises:
            Unknown: it does not, or it is one whose memory map is not understood here.
        """
        if not vmcoreinfo.is_plain_x86_64:
            raise Unknown("only the memory map of x86_64 is understood, and none that is encrypted")
        return cls(Sections.of(vmcoreinfo), PageLayout.of(vmcoreinfo), frame_sets)

    @property
    def frames(self) -> int:
        """How many there are at most."""
        return self.frame_sets.max_mapnr

    def stored(self, kind: Kind, read: Read) -> Iterator[int]:
        """The frames of one kind whose pages are in the dump.

        Raises:
            Flaw: the memory map cannot be read.
        """
        judge_of_kinds = Judge(self.layout)
        for frames, structs in memory_map(read, self.sections, self.frame_sets):
            if structs:
                _, stored = self.frame_sets.of(frames)
                some = stored & judge_of_kinds.kinds(frames, structs).of[kind]
                while some:
                    yield _first(some, frames)
                    some &= some - 1


def judge(pages: MapOfPages, read: Read, dump_level: int | None) -> KeptPages:
    """Count what was stored and left out, and prove the choice where the dump level is known.

    Raises:
        Flaw: a page is missing that the dump level keeps, or the map is not where the page tables lead.
    """
    kinds, tally = Judge(pages.layout), _Tally(pages)
    for piece in memory_map(read, pages.sections, pages.frame_sets):
        tally.add(piece, kinds)
    if dump_level is None:
        return KeptPages(tally.counts, 0, ())
    kinds_left_out = left_out(dump_level)
    tally.prove(dump_level, kinds_left_out)
    return KeptPages(tally.counts, tally.mistaken, tuple(tally.remarks(dump_level, kinds_left_out)))


def left_out(dump_level: int) -> frozenset[Kind]:
    """The kinds that makedumpfile leaves out at this level."""
    if dump_level <= _ZEROS_ALONE:
        return frozenset()
    told = kinds_left_out(dump_level)
    # Private page cache is left out together with the rest of it.
    with_it = {Kind.CACHE} if Kind.PRIVATE_CACHE in told else set()
    return frozenset(kind for kind in Kind if kind in told) | with_it | {Kind.BROKEN}


class _Tally:
    """Frames by kind and by what became of them, as the pieces of the memory map come."""

    def __init__(self, pages: MapOfPages) -> None:
        self._pages = pages
        self._stored, self._left_out = dict.fromkeys(Kind, 0), dict.fromkeys(Kind, 0)
        self._first_left_out: dict[Kind, int] = {}
        self.mistaken = 0  # the kernel's own, left out by a makedumpfile that is older
        self._map_missing = 0  # bytes of the memory map

    @property
    def counts(self) -> tuple[PagesOfKind, ...]:
        """Of what exists."""
        return tuple(PagesOfKind(kind, self._stored[kind], self._left_out[kind]) for kind in Kind)

    def add(self, piece: Piece, judge: Judge) -> None:
        """Count a piece; what the kernel has no struct page for is its own affair."""
        frames, structs = piece
        exist, stored = self._pages.frame_sets.of(frames)
        if structs is None:
            # `makedumpfile -e` leaves the memory map of pages out that it leaves out, and of no others.
            if stored:
                raise Flaw(
                    f"its memory map lacks frame {_first(stored, frames)}, of which the page is stored"
                )
            self._map_missing += len(frames) * self._pages.layout.size
            return
        found = judge.kinds(frames, structs) if structs else Kinds({Kind.KERNEL: -1}, 0)
        for kind, some in found.of.items():
            left_out = some & exist & ~stored
            self._stored[kind] += (some & exist & stored).bit_count()
            self._left_out[kind] += left_out.bit_count()
            if kind is Kind.KERNEL:
                self.mistaken += (left_out & found.taken_for_user).bit_count()
                left_out &= ~found.taken_for_user
            if left_out:
                self._first_left_out.setdefault(kind, _first(left_out, frames))

    def prove(self, dump_level: int, left_out: frozenset[Kind]) -> None:
        """Raise the first contradiction."""
        excused = -(-self._map_missing // self._pages.sections.page_size) + (
            self.mistaken if Kind.USER in left_out else 0
        )
        for kind in Kind:
            lost = self._left_out[kind] - (excused if kind is Kind.KERNEL else 0)
            if kind not in left_out and lost > 0:
                first = self._first_left_out.get(kind)
                raise Flaw(
                    f"its second bitmap contradicts its memory map: {lost} pages are not stored that "
                    f"dump level {dump_level} keeps ({kind}); the first is frame {first}"
                )
        stored, lacking = self._stored[Kind.FREE], self._left_out[Kind.FREE]
        if Kind.FREE in left_out and stored and lacking:
            raise Flaw(
                f"its second bitmap contradicts its memory map: {stored} free pages are stored, {lacking} "
                "others are not, and makedumpfile knows all of them or none"
            )

    def remarks(self, dump_level: int, left_out: frozenset[Kind]) -> Iterator[str]:
        """What contradicts nothing and still is not as the dump level says."""
        for kind in sorted(left_out - {Kind.BROKEN}):
            if stored := self._stored[kind]:
                total = stored + self._left_out[kind]
                yield (
                    f"{stored} of {total} pages are stored that dump level {dump_level} leaves out "
                    f"({kind}): this makedumpfile does not know them in this kernel"
                )
        if self.mistaken:
            yield (
                f"{self.mistaken} pages of the kernel's own are left out: "
                "this makedumpfile is older than the kernel and takes them for user data"
            )


def _first(some: int, frames: range) -> int:
    return frames.start + (some & -some).bit_length() - 1
