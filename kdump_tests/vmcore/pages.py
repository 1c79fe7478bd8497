"""The proof that every page a kdump-compressed dump promises lies in it. No page is read.

Whoever writes this format writes the pages end to end, in the order of their descriptors, and the one
page of zeros that many descriptors share before them (write_kdump_pages_and_bitmap_cyclic() and
reassemble_kdump_pages() of makedumpfile 1.7.9, write_dump_pages() of QEMU). So each descriptor says
where the next must point, and no run of zeros or lost block among them can go unseen. The one thing
that cannot be proven is a zero in the first bitmap for a frame of which nothing was saved: no page hangs
on it, and nothing else in the file tells which frames exist.
"""

import struct
from dataclasses import dataclass

from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import CHUNK, Image, chunks

_DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page_flags
_STEP = CHUNK // _DESCRIPTOR.size * _DESCRIPTOR.size


@dataclass(frozen=True)
class Pages:
    """Where the headers say that bitmaps and pages are. Bytes, but ``max_mapnr``: page frames."""

    bitmaps_at: int
    bitmap_size: int  # of each of the two
    max_mapnr: int
    block_size: int
    compression: frozenset[int]  # the flags that a compressed page may carry

    @property
    def descriptors_at(self) -> int:
        """Right behind both bitmaps."""
        return self.bitmaps_at + 2 * self.bitmap_size


def prove_pages(image: Image, pages: Pages) -> int:
    """The offset behind the last page, once all of them are proven to be there.

    Raises:
        Torn: the dump ends before they do.
        Flaw: bitmaps and descriptors contradict each other.
    """
    count = _count(image, pages)
    if not count:
        raise Flaw("its bitmap says that no page was saved")
    first = pages.descriptors_at + count * _DESCRIPTOR.size
    if (missing := image.first_missing(pages.descriptors_at, first)) is not None:
        raise Torn(f"it ends at {missing}, before the descriptors of its {count} pages do")
    end = _end_of_pages(image, pages, count, first)
    if (missing := image.first_missing(first, end)) is not None:
        raise Torn(f"it ends at {missing}, before its {count} pages do ({end})")
    return end


def _count(image: Image, pages: Pages) -> int:
    """How many pages were saved: the bits of the second bitmap. The first has one for each that exists."""
    used = (pages.max_mapnr + 7) // 8
    first, second = pages.bitmaps_at, pages.bitmaps_at + pages.bitmap_size
    for start in (first, second):
        if (missing := image.first_missing(start, start + used)) is not None:
            raise Torn(f"it ends at {missing}, within its bitmaps")
    count = 0
    for exist, saved in zip(chunks(image, first, used), chunks(image, second, used), strict=True):
        bits = int.from_bytes(saved, "little")
        if bits & ~int.from_bytes(exist, "little"):
            raise Flaw("its bitmaps contradict each other: a page was saved that does not exist")
        count += bits.bit_count()
    beyond = 8 * used - pages.max_mapnr
    if saved[-1] >> (8 - beyond):
        raise Flaw(f"its bitmap has pages beyond the last one, {pages.max_mapnr - 1}")
    return count


def _end_of_pages(image: Image, pages: Pages, count: int, first: int) -> int:
    """Follow the descriptors from the first page to the end of the last."""
    block_size, compression = pages.block_size, pages.compression
    behind_zeros = first + block_size
    end = first
    for chunk in chunks(image, pages.descriptors_at, count * _DESCRIPTOR.size, _STEP):
        for offset, size, flags, _ in _DESCRIPTOR.iter_unpack(chunk):
            whole = size == block_size if not flags else flags in compression and 0 < size < block_size
            if whole and offset == end:
                end += size
            elif whole and offset == first and not flags:
                continue  # the shared page of zeros
            elif whole and offset == behind_zeros and end == first:
                end = offset + size  # the first page of its own; the page of zeros comes to use later
            else:
                raise Flaw(
                    f"a page descriptor contradicts the one before it: {size} bytes (flags {flags:#x}) "
                    f"at {offset}, expected at {end}"
                )
    return end
