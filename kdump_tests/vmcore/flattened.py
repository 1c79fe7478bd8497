"""makedumpfile's flattened format: an image as records in the order of writing, for pipes and SSH.

Source: makedumpfile.h (struct makedumpfile_data_header) and write_buffer() in makedumpfile.c, 1.7.9.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge

from kdump_tests.errors import BadInput
from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import PlainFile

SIGNATURE = b"makedumpfile".ljust(16, b"\0")
_HEADER = struct.Struct(">16sqq")  # signature, type, version
_RECORD = struct.Struct(">qq")  # offset in the image, size; big-endian on every architecture
_HEADER_SIZE = 4096
_END = (-1, -1)

# A record holds up to a mebibyte of pages, 64 KiB of them in practice: 256 GiB of dump. Their index
# takes about 100 MB, and a file made of tiny records must not take more.
MAX_RECORDS = 1 << 22
_SORTED = 1 << 18


class FlattenedFile:
    """A flattened file: its records' headers, all walked; their data, only where it is asked for.

    ``flaw`` is what the walk met that an undamaged file does not have. The records before it serve.
    """

    def __init__(self, file: PlainFile) -> None:
        self.flaw: Flaw | None = None
        self._file = file
        self._starts, self._sizes, self._places = array("q"), array("q"), array("q")
        try:
            self._walk()
        except Flaw as flaw:
            self.flaw = flaw
        self._sort()

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self._starts)

    def read(self, offset: int, size: int) -> bytes:
        """See Image."""
        if (missing := self.first_missing(offset, offset + size)) is not None:
            raise Torn(f"no record holds the byte at {missing} of the image")
        parts = []
        index = bisect_right(self._starts, offset) - 1
        while size > 0:
            skipped = offset - self._starts[index]
            part = self._file.read(self._places[index] + skipped, min(size, self._sizes[index] - skipped))
            parts.append(part)
            offset += len(part)
            size -= len(part)
            index += 1
        return b"".join(parts)

    def first_missing(self, start: int, end: int) -> int | None:
        """See Image."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        while start < end:
            if index == len(self._starts) or not 0 <= start - self._starts[index] < self._sizes[index]:
                return start
            start = self._starts[index] + self._sizes[index]
            index += 1
        return None

    def _walk(self) -> None:
        signature, kind, version = _HEADER.unpack(self._file.read(0, _HEADER.size))
        if (signature, kind, version) != (SIGNATURE, 1, 1):
            raise Flaw(f"its flattened header is of type {kind}, version {version}; only 1 and 1 exist")
        position = _HEADER_SIZE
        while True:
            if position + _RECORD.size > self._file.size:
                raise Torn(
                    f"the flattened file has no end marker: it stops after {len(self._starts)} records"
                )
            start, size = _RECORD.unpack(self._file.read(position, _RECORD.size))
            if (start, size) == _END:
                return
            self._add(start, size, position + _RECORD.size)
            position += _RECORD.size + size

    def _add(self, start: int, size: int, place: int) -> None:
        if start < 0 or size <= 0 or start + size >= 1 << 63:
            at = place - _RECORD.size
            raise Flaw(
                f"the flattened record at {at} of the file cannot be: {size} bytes for offset {start}"
            )
        if place + size > self._file.size:
            raise Torn(f"the file ends inside the flattened record for offset {start} of the image")
        if len(self._starts) == MAX_RECORDS:
            raise BadInput(
                f"{self._file.path.name} has more than {MAX_RECORDS} flattened records",
                path=self._file.path,
                way_out="makedumpfile -R vmcore < FILE, and inspect that",
            )
        self._starts.append(start)
        self._sizes.append(size)
        self._places.append(place)

    def _in_order(self) -> Iterator[int]:
        """Records by their place in the image, then in the order of writing; few at once in a list."""
        key, all_of_them = self._starts.__getitem__, range(len(self._starts))
        runs = (all_of_them[start : start + _SORTED] for start in all_of_them[::_SORTED])
        yield from merge(*(array("L", sorted(run, key=key)) for run in runs), key=key)

    def _sort(self) -> None:
        """Order by place in the image. A record written twice counts once, as it was written last.

        makedumpfile rewrites the sub-header when it erased something (update_eraseinfo_of_sub_header).
        """
        starts, sizes, places = array("q"), array("q"), array("q")
        for index in self._in_order():
            start, size = self._starts[index], self._sizes[index]
            if starts and starts[-1] == start and sizes[-1] == size:
                places[-1] = self._places[index]
                continue
            if starts and start < starts[-1] + sizes[-1]:
                self.flaw = Flaw(f"two flattened records overlap at {start} of the image")
                break
            starts.append(start)
            sizes.append(size)
            places.append(self._places[index])
        self._starts, self._sizes, self._places = starts, sizes, places
