"""Dumps whose leading parts were written over, and that then were cut: none may pass for a whole one."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.errors import KdumpVerifyError
from kdump_tests.unit.vmcore.dumps import PAGE
from kdump_tests.vmcore.opened import open_dump

Edit = tuple[int, bytes]
"""Where bytes are written over, and by which."""


@dataclass(frozen=True)
class Base:
    """A whole dump. Before ``leading`` is what leads to everything else.

    ``end`` tells how long a mutated one must be by its own words, where they are all that is known of it.
    """

    whole: bytes
    leading: int
    end: Callable[[bytes], int] | None = None

    def is_cut(self, dump: bytes) -> bool:
        """Whether a dump made of this one lacks something."""
        return len(dump) < (self.end(dump) if self.end else len(self.whole))

    def mutated(self, edits: Sequence[Edit], cut: int) -> bytes:
        """With the edits done to its leading part, and ``cut`` bytes short."""
        changed = bytearray(self.whole)
        for at, content in edits:
            at %= self.leading
            content = content[: self.leading - at]
            changed[at : at + len(content)] = content
        return bytes(changed[: len(changed) - cut])


def passes_for_complete(path: Path, dump: bytes) -> bool:
    """What the project's own readers say. No other tool is asked."""
    path.write_bytes(dump)
    try:
        with open_dump(path) as opened:
            return opened.flaw is None
    except KdumpVerifyError:
        return False


def end_of_core(core: bytes) -> int:
    """Where the last segment of an ELF core ends. Nothing else in the format tells how long it was."""
    (start,), (count,) = struct.unpack_from("<Q", core, 32), struct.unpack_from("<H", core, 56)
    ends = [0]
    for at in range(start, min(start + 56 * count, len(core) - 55), 56):
        offset, size = struct.unpack_from("<Q16xQ", core, at + 8)
        ends.append(offset + size if size else 0)
    return max(ends)


def miniature(image: bytes, most_pages: int = 64) -> Base:
    """The first pages of a kdump-compressed image under its own headers: as real, quicker to read."""
    sub_blocks, bitmap_blocks = struct.unpack_from("<iI", image, 432)
    bitmaps = (1 + sub_blocks) * PAGE
    second = bitmaps + bitmap_blocks * PAGE // 2
    old_descriptors = bitmaps + bitmap_blocks * PAGE
    saved = int.from_bytes(image[second:old_descriptors], "little")
    old_pages = old_descriptors + 24 * saved.bit_count()

    frames, kept = 8 * PAGE, 0
    while kept.bit_count() < most_pages and (left := saved & ~kept & ((1 << frames) - 1)):
        kept |= left & -left
    pages = bitmaps + 2 * PAGE + 24 * kept.bit_count()
    moved, end = pages - old_pages, old_pages + PAGE
    descriptors = b""
    for number in range(kept.bit_count()):
        offset, size, flags, page_flags = struct.unpack_from("<QIIQ", image, old_descriptors + 24 * number)
        descriptors += struct.pack("<QIIQ", offset + moved, size, flags, page_flags)
        end = max(end, offset + size)
    headers = bytearray(image[:bitmaps])
    struct.pack_into("<II", headers, 436, 2, frames)
    struct.pack_into("<Q", headers, PAGE + 96, frames)
    exist = image[bitmaps : bitmaps + PAGE]
    whole = b"".join([headers, exist, kept.to_bytes(PAGE, "little"), descriptors, image[old_pages:end]])
    return Base(whole, pages)
