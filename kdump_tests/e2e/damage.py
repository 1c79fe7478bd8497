"""Damage as disks, networks and full file systems do it to a dump, each with the reasons that fit it."""

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

BLOCK = 4096
_LARGEST = 16 * BLOCK

_CUT = r"it ends|needs \d+ bytes|no record holds|starts with|no end marker|ends inside"
_HEADERS = r"header|VMCOREINFO|notes|starts with|memory of \d+ pages|blocks"
_LEADS = r"bitmap|descriptor contradicts|page tables lead|memory map|it ends"
_PAGES = r"is damaged|nothing but zeros|page tables lead|memory map|second bitmap"


@dataclass(frozen=True)
class Layout:
    """Where the parts of a kdump-compressed dump are, found without the reader under test."""

    bitmaps: int
    descriptors: int
    pages: int
    end: int

    @property
    def leading(self) -> tuple[range, ...]:
        """Headers, first bitmap, second bitmap, descriptors: small, and all else hangs on them."""
        second = (self.bitmaps + self.descriptors) // 2
        edges = (0, self.bitmaps, second, self.descriptors, self.pages)
        return tuple(range(start, end) for start, end in pairwise(edges))

    @classmethod
    def of(cls, image: bytes) -> "Layout":
        """By diskdump_mod.h of makedumpfile."""
        sub_blocks, bitmap_blocks = struct.unpack_from("<iI", image, 432)
        bitmaps = (1 + sub_blocks) * BLOCK
        descriptors = bitmaps + bitmap_blocks * BLOCK
        second = image[bitmaps + bitmap_blocks * BLOCK // 2 : descriptors]
        pages = descriptors + 24 * int.from_bytes(second, "little").bit_count()
        return cls(bitmaps, descriptors, pages, len(image))


@dataclass(frozen=True)
class Damage:
    """Bytes that take the place of others, and the length that is left. ``reason`` is a pattern."""

    reason: str
    at: int = 0
    content: bytes = b""
    length: int | None = None

    @contextmanager
    def done_to(self, path: Path) -> Iterator[None]:
        """The file is damaged until the block ends."""
        with path.open("r+b") as file:
            file.seek(self.at)
            old = file.read(len(self.content)) if self.length is None else file.read()
            try:
                self._do(file.fileno())
                yield
            finally:
                os.pwrite(file.fileno(), old, self.at)

    def _do(self, fd: int) -> None:
        os.pwrite(fd, self.content, self.at)
        if self.length is not None:
            os.ftruncate(fd, self.length)


Kind = Callable[[bytes, Random], Damage]


def cut(image: bytes, random: Random) -> Damage:
    """Anywhere, often near the start."""
    length = int(len(image) ** random.uniform(0.4, 0.9999999))
    return Damage(_CUT, at=length, length=length)


def zeros_that_lead(image: bytes, random: Random) -> Damage:
    """A block of zeros over headers, bitmaps or descriptors, at any byte."""
    layout = Layout.of(image)
    return _zeros(image, random, random.choice(layout.leading), BLOCK, f"{_HEADERS}|{_LEADS}|{_PAGES}")


def zeros_in_pages(image: bytes, random: Random) -> Damage:
    """Up to sixteen blocks of zeros in what pages hold."""
    layout = Layout.of(image)
    size = random.randrange(64, _LARGEST)
    return _zeros(image, random, range(layout.pages, layout.end), size, _PAGES)


def swap_that_misleads(image: bytes, random: Random) -> Damage:
    """Two blocks of bitmaps or descriptors, each in the other's place."""
    layout = Layout.of(image)
    return _swap(image, random, random.choice(layout.leading[1:]), _LEADS)


def swap_of_pages(image: bytes, random: Random) -> Damage:
    """Two blocks of pages, each in the other's place."""
    layout = Layout.of(image)
    return _swap(image, random, range(layout.pages + BLOCK, layout.end), _PAGES)


def stale(image: bytes, random: Random) -> Damage:
    """Some blocks, from the bitmaps on, hold what was written elsewhere: writes that got lost or astray."""
    layout = Layout.of(image)
    size = random.randrange(1, 16) * BLOCK
    while True:
        where = random.choice([*layout.leading[1:], range(layout.pages + BLOCK, layout.end - size)])
        at = random.choice(where) // BLOCK * BLOCK
        source = random.randrange(layout.pages, layout.end - size)
        content = image[source : source + size]
        if content != image[at : at + size]:
            return Damage(f"{_LEADS}|{_PAGES}", at, content)


def lost_record(flat: bytes, random: Random) -> Damage:
    """A record of a flattened file is missing, and what follows it moves up."""
    records = list(_records(flat))
    at, end = random.choice(records)
    return Damage(f"{_CUT}|{_LEADS}", at, flat[end:], len(flat) - (end - at))


def only_in_raw_pages(image: bytes, damage: Damage) -> bool:
    """Whether all that it changed are bytes of pages that did not compress: there, any bytes are a page."""
    layout = Layout.of(image)
    descriptors = struct.iter_unpack("<QIIQ", image[layout.descriptors : layout.pages])
    starts, ends = array("Q"), array("Q")
    for at, size, flags, _ in descriptors:
        if not flags and at != layout.pages:  # what many share is the page of zeros
            starts.append(at)
            ends.append(at + size)
    for at in _changed(image, damage):
        last = bisect_right(starts, at) - 1
        if last < 0 or at >= ends[last]:
            return False
    return True


def _changed(image: bytes, damage: Damage) -> Iterator[int]:
    """Where bytes are other ones now. Between two blocks that were swapped lie many that are not."""
    for start in range(0, len(damage.content), BLOCK):
        new, at = damage.content[start : start + BLOCK], damage.at + start
        old = image[at : at + len(new)]
        if old != new:
            yield from (at + n for n, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])


IMAGE_KINDS: dict[str, Kind] = {kind.__name__: kind for kind in (cut, zeros_that_lead, swap_that_misleads)}
# What pages hold. zlib sums up what it packs; a page that did not compress is stored as it was, and the
# format has no sum of it: of the dumps of Debian 12, every hundredth byte.
PAGE_KINDS: dict[str, Kind] = {kind.__name__: kind for kind in (zeros_in_pages, swap_of_pages, stale)}
FLATTENED_KINDS: dict[str, Kind] = {kind.__name__: kind for kind in (cut, lost_record)}


def reassembled(flat: bytes) -> bytes:
    """What ``makedumpfile -R`` makes of a flattened file."""
    image = bytearray()
    for at, end in _records(flat):
        (start,) = struct.unpack_from(">q", flat, at)
        image.extend(bytes(max(start - len(image), 0)))
        image[start : start + end - at - 16] = flat[at + 16 : end]
    return bytes(image)


def _records(flat: bytes) -> Iterator[tuple[int, int]]:
    at = 4096
    while True:
        start, size = struct.unpack_from(">qq", flat, at)
        if start < 0:
            return
        yield at, at + 16 + size
        at += 16 + size


def _zeros(image: bytes, random: Random, where: range, size: int, reason: str) -> Damage:
    while True:
        at = random.choice(where)
        hit = image[at : at + size]
        if any(hit):
            return Damage(reason, at, bytes(len(hit)))


def _swap(image: bytes, random: Random, where: range, reason: str) -> Damage:
    first, second = 0, 0
    while image[first : first + BLOCK] == image[second : second + BLOCK] or second - first < BLOCK:
        first, second = sorted(
            where.start + (random.choice(where) - where.start) // BLOCK * BLOCK for _ in "ab"
        )
    between = image[first + BLOCK : second]
    content = image[second : second + BLOCK] + between + image[first : first + BLOCK]
    return Damage(reason, first, content)
