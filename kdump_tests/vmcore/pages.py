"""The proof that every page a kdump-compressed dump promises lies in it. No page is read.

Whoever writes this format writes the pages end to end, in the order of their descriptors, and the one
page of zeros that many descriptors share before them (write_kdump_pages_and_bitmap_cyclic() and
reassemble_kdump_pages() of makedumpfile 1.7.9, write_dump_pages() of QEMU). So each descriptor says
where the next must point, and no run of zeros or lost block among them can go unseen. Two things cannot
be proven from here: that a frame of which nothing was saved does exist, which the firmware's map in the
kernel's log tells where it is still there (first_absent() asks for it); and that bits of the second
bitmap are where they were, when as many are set as before: see inspection._misplaced().

A part of a split dump has the bitmaps and the room for the descriptors of the whole, and its own
descriptors and pages alone.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import CHUNK, Image, chunks

_DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page_flags
# x86 knows of 3200 pieces at most (E820_MAX_ENTRIES with 1024 nodes). A block of anything else in the
# bitmap's place adds thousands.
_MAX_PIECES = 4096
_STEP = CHUNK // _DESCRIPTOR.size * _DESCRIPTOR.size


@dataclass(frozen=True)
class Pages:
    """Where the headers say that bitmaps and pages are: bytes, but frames in ``max_mapnr`` and ``part``."""

    bitmaps_at: int
    bitmap_size: int  # of each of the two
    max_mapnr: int
    part: range  # whose pages are in this file
    block_size: int
    compression: frozenset[int]  # the flags that a compressed page may carry

    @property
    def descriptors_at(self) -> int:
        """Right behind both bitmaps."""
        return self.bitmaps_at + 2 * self.bitmap_size


@dataclass(frozen=True)
class Count:
    """Page frames by what the bitmaps say of them: that they exist, were saved, were saved in this part."""

    existing: int
    saved: int
    in_part: int


@dataclass(frozen=True)
class Proven:
    """The offset behind the last page, and how many descriptors share the page of zeros."""

    end: int
    zeros: int


def count_pages(image: Image, pages: Pages) -> Count:
    """The bits of both bitmaps.

    Raises:
        Torn: the dump ends before they do.
        Flaw: they contradict each other.
    """
    used = (pages.max_mapnr + 7) // 8
    first, second = pages.bitmaps_at, pages.bitmaps_at + pages.bitmap_size
    for start in (first, second):
        if (missing := image.first_missing(start, start + used)) is not None:
            raise Torn(f"it ends at {missing}, within its bitmaps")
    existing = pieces = count = in_part = frame = 0
    for exist, saved in zip(chunks(image, first, used), chunks(image, second, used), strict=True):
        frames, bits = int.from_bytes(exist, "little"), int.from_bytes(saved, "little")
        if bits & ~frames:
            raise Flaw("its bitmaps contradict each other: a page was saved that does not exist")
        existing += frames.bit_count()
        pieces += (frames & ~(frames << 1)).bit_count()
        count += bits.bit_count()
        below = (
            (1 << max(pages.part.stop - frame, 0)) - 1 if pages.part.stop < frame + 8 * len(saved) else -1
        )
        in_part += ((bits & below) >> max(pages.part.start - frame, 0)).bit_count()
        frame += 8 * len(saved)
    if pieces > _MAX_PIECES:
        raise Flaw(f"its first bitmap has memory in {pieces} pieces, which no machine has")
    beyond = 8 * used - pages.max_mapnr
    if saved[-1] >> (8 - beyond):
        raise Flaw(f"its bitmap has pages beyond the last one, {pages.max_mapnr - 1}")
    if not count:
        raise Flaw("its bitmap says that no page was saved")
    return Count(existing, count, in_part)


def prove_pages(image: Image, pages: Pages, count: Count) -> Proven:
    """Follow the descriptors from the first page to the end of the last, and find that end in the file.

    Raises:
        Torn: the dump ends before they do.
        Flaw: bitmaps and descriptors contradict each other.
    """
    first = pages.descriptors_at + count.saved * _DESCRIPTOR.size
    if (missing := image.first_missing(pages.descriptors_at, first)) is not None:
        raise Torn(f"it ends at {missing}, before the descriptors of its {count.saved} pages do")
    end, zeros = first, 0
    for chunk in chunks(image, pages.descriptors_at, count.in_part * _DESCRIPTOR.size, _STEP):
        further = _follow(chunk, pages, first, end)
        end, zeros = further.end, zeros + further.zeros
    if (missing := image.first_missing(first, end)) is not None:
        raise Torn(f"it ends at {missing}, before its {count.in_part} pages do ({end})")
    return Proven(end, zeros)


def join(parts: Sequence[tuple[Image, Pages]]) -> Iterator[tuple[int, bytes]]:
    """Descriptors and pages of the whole, of parts that are whole: bytes, each with its offset.

    Every part has its own page of zeros, and the whole has one.
    """
    _, whole = parts[0]
    counts = [count_pages(image, pages) for image, pages in parts]
    first = whole.descriptors_at + counts[0].saved * _DESCRIPTOR.size
    end, descriptor_at = first, whole.descriptors_at
    for (image, pages), count in zip(parts, counts, strict=True):
        proven = prove_pages(image, pages, count)
        zeros = proven.end > first and image.read(first, pages.block_size) == bytes(pages.block_size)
        begin = first + pages.block_size if zeros and end > first else first
        table = chunks(image, pages.descriptors_at, count.in_part * _DESCRIPTOR.size, _STEP)
        for chunk in table:
            moved = bytearray()
            for offset, size, flags, page_flags in _DESCRIPTOR.iter_unpack(chunk):
                place = first if zeros and offset == first else offset + end - begin
                moved += _DESCRIPTOR.pack(place, size, flags, page_flags)
            yield descriptor_at, bytes(moved)
            descriptor_at += len(moved)
        for chunk in chunks(image, begin, proven.end - begin):
            yield end, chunk
            end += len(chunk)


def first_absent(image: Image, pages: Pages, frames: range) -> int | None:
    """The first of the frames that does not exist by the first bitmap, None if all do."""
    known = range(frames.start, min(frames.stop, pages.max_mapnr))
    first = known.start // 8
    for chunk in chunks(image, pages.bitmaps_at + first, -(-known.stop // 8) - first) if known else ():
        here = range(max(known.start, first * 8), min(known.stop, (first + len(chunk)) * 8))
        bits = int.from_bytes(chunk, "little") >> (here.start - first * 8)
        if absent := ~bits & ((1 << len(here)) - 1):
            return here.start + (absent & -absent).bit_length() - 1
        first += len(chunk)
    return None if known.stop == frames.stop else max(known.stop, frames.start)


def sets_of_frames(image: Image, pages: Pages, frames: range) -> tuple[int, int]:
    """Which of the frames exist, and which of those were saved: a bit for each, the first is bit 0."""
    here = range(min(frames.start, pages.max_mapnr), min(frames.stop, pages.max_mapnr))
    first, end = here.start // 8, -(-here.stop // 8)
    mask = (1 << len(here)) - 1
    exist, saved = (
        int.from_bytes(b"".join(chunks(image, start + first, end - first)), "little") >> here.start % 8
        & mask
        for start in (pages.bitmaps_at, pages.bitmaps_at + pages.bitmap_size)
    )
    return exist, saved


def saved_frames(image: Image, pages: Pages) -> Iterator[int]:
    """The frames of which this file has pages, in their order."""
    start, end = pages.part.start // 8, -(-pages.part.stop // 8)
    frame = start * 8
    for chunk in chunks(image, pages.bitmaps_at + pages.bitmap_size + start, end - start):
        for byte in chunk:
            if byte:
                yield from (f for f in range(frame, frame + 8) if byte >> f % 8 & 1 and f in pages.part)
            frame += 8


def _follow(chunk: bytes, pages: Pages, first: int, end: int) -> Proven:
    block_size = pages.block_size
    behind_zeros = first + block_size
    zeros = 0
    for offset, size, flags, _ in _DESCRIPTOR.iter_unpack(chunk):
        whole = _is_whole(size, flags, pages)
        if whole and offset == first and not flags:
            zeros += 1  # the shared page of zeros; in a dump without one, the first page
            end = max(end, behind_zeros)
        elif whole and offset == end:
            end += size
        elif whole and offset == behind_zeros and end == first:
            end = offset + size  # the first page of its own; the page of zeros comes to use later
        else:
            raise Flaw(
                f"a page descriptor contradicts the one before it: {size} bytes (flags {flags:#x}) "
                f"at {offset}, expected at {end}"
            )
    return Proven(end, zeros)


def _is_whole(size: int, flags: int, pages: Pages) -> bool:
    """Whether this can be a page: all of its bytes, or fewer, compressed."""
    if not flags:
        return size == pages.block_size
    return flags in pages.compression and 0 < size < pages.block_size
