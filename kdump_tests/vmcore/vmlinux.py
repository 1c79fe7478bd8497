"""A vmlinux as an ELF file: where its notes lie. 64-bit, little-endian.

Source: elf(5). A file of debug information alone keeps the program headers of what it was split from, and
they lead nowhere (objcopy --only-keep-debug): there the section headers tell.
"""

import struct
from collections.abc import Iterator

from kdump_tests.vmcore.elf import BITS_64, HEADER, LITTLE_ENDIAN, MAGIC
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.image import Image

_SHT_NOTE = 7
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, addr, offset, size, link, info, align, entsize
_MAX_SECTIONS = 1 << 12  # a vmlinux has about 80
_LARGEST_NOTES = 1 << 20


def note_segments(image: Image) -> Iterator[tuple[int, int]]:
    """Offset and size in bytes of each section of notes.

    Raises:
        Flaw: it is no ELF file of a 64-bit little-endian machine, or its headers lead nowhere.
    """
    header = HEADER.unpack(image.read(0, HEADER.size))
    magic, bits, order, *_, sections, _flags, _size, _psize, _pcount, entry_size, count, _names = header
    if magic != MAGIC:
        raise Flaw(f"it starts with {magic!r}, which no ELF file does")
    if (bits, order) != (BITS_64, LITTLE_ENDIAN):
        raise Flaw("it is not of a 64-bit little-endian machine")
    if not sections or entry_size != _SECTION.size or not 0 < count <= _MAX_SECTIONS:
        raise Flaw("it has no section headers")
    for number in range(count):
        entry = _SECTION.unpack(image.read(sections + number * entry_size, _SECTION.size))
        _, kind, _, _, offset, size, *_ = entry
        if kind == _SHT_NOTE and 0 < size <= _LARGEST_NOTES:
            yield offset, size
