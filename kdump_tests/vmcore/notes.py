"""ELF notes, as both dump formats carry them: registers of each CPU, and VMCOREINFO.

Source: elf(5), Elf64_Nhdr; kernel/crash_core.c append_elf_note(). Little-endian.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.image import Image

_HEADER = struct.Struct("<III")  # namesz, descsz, type
_MAX_NAME = 256
MAX_NOTES = 1 << 17  # Linux has at most 8192 CPUs (CONFIG_NR_CPUS), and one or two notes for each


@dataclass(frozen=True)
class Note:
    """One note: where its content lies in the image; sizes in bytes."""

    name: bytes
    kind: int
    offset: int
    size: int


def notes(image: Image, start: int, size: int) -> Iterator[Note]:
    """The notes of ``size`` bytes at ``start``; their content is not read.

    Raises:
        Torn: the image ends before they do.
        Flaw: one reaches out of its segment, or they never end.
    """
    position, end = start, start + size
    for _ in range(MAX_NOTES):
        if position + _HEADER.size > end:
            return
        name_size, content_size, kind = _HEADER.unpack(image.read(position, _HEADER.size))
        if name_size == 0:
            return  # zeros after the last note: what was reserved for CPUs that left none
        content = position + _HEADER.size + _padded(name_size)
        if name_size > _MAX_NAME or content + content_size > end:
            raise Flaw(f"the ELF note at {position} reaches out of its segment")
        name = image.read(position + _HEADER.size, name_size).rstrip(b"\0")
        yield Note(name, kind, content, content_size)
        position = content + _padded(content_size)
    raise Flaw(f"more than {MAX_NOTES} ELF notes")


def vmcoreinfo_note(image: Image, start: int, size: int) -> Note | None:
    """The note named VMCOREINFO among them, if there is one."""
    return next((note for note in notes(image, start, size) if note.name == b"VMCOREINFO"), None)


def _padded(size: int) -> int:
    return (size + 3) & ~3
