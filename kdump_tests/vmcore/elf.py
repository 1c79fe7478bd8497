"""An ELF core of a kernel: /proc/vmcore copied as it is, or ``makedumpfile -E``. 64-bit, little-endian.

Source: elf(5); write_elf_header() and check_and_modify_elf_headers() of makedumpfile 1.7.9.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kdump_tests.vmcore.flaw import Flaw, Foreign, Torn
from kdump_tests.vmcore.image import CHUNK, Image, chunks
from kdump_tests.vmcore.notes import MAX_NOTES, Note, notes
from kdump_tests.vmcore.shape import Format, Memory, Shape
from kdump_tests.vmcore.vmcoreinfo import MAX_SIZE, Vmcoreinfo

MAGIC = b"\x7fELF"
_64_BIT, _LITTLE_ENDIAN, _ET_CORE, _PN_XNUM = 2, 1, 4, 0xFFFF
_PT_NULL, _PT_LOAD, _PT_NOTE = 0, 1, 4
_OF_PROCESS = {3, 6}  # NT_PRPSINFO and NT_AUXV, which fs/binfmt_elf.c writes and fs/proc/vmcore.c does not
_INCOMPLETE = 1  # e_flags, makedumpfile.c DUMP_ELF_INCOMPLETE

_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")  # type, flags, offset, vaddr, paddr, filesz, memsz, align
_SECTION = struct.Struct("<44xI16x")  # only sh_info, where the number of segments overflows to
_STEP = CHUNK // _SEGMENT.size * _SEGMENT.size
# Real dumps have a few dozen. makedumpfile begins another after 256 pages that it leaves out
# (PFN_EXCLUDED): this many for 256 GiB if every second mebibyte were left out.
_MAX_SEGMENTS = 1 << 18


class _Segment(NamedTuple):
    """One program header: bytes in the file at ``offset``, and the memory they are of."""

    kind: int
    offset: int
    file_size: int
    address: int  # physical
    memory_size: int


class _Segments(NamedTuple):
    """The table of program headers: offset in the image, number of entries, whether a flag disowns them."""

    start: int
    entries: int
    marked_incomplete: bool

    @property
    def end(self) -> int:
        return self.start + self.entries * _SEGMENT.size


def shape(image: Image) -> Shape:
    """What the core says of itself, and whether all of it is there.

    Raises:
        Flaw: its header is torn, or not one of a kernel's 64-bit little-endian core.
    """
    segments = _segments(image)
    flaw: Flaw | None = None
    vmcoreinfo, memory, proof = Vmcoreinfo({}), None, list[str]()
    try:
        headers = tuple(_headers(image, segments))
        vmcoreinfo = _vmcoreinfo(image, headers)
        memory = _memory(headers, vmcoreinfo)
        _prove(image, segments, headers)
        proof.append(f"its {segments.entries} segments lie in the file")
    except Foreign:
        raise
    except Flaw as found:
        flaw = found
    if segments.marked_incomplete:
        flaw = Torn("its header carries makedumpfile's mark of an incomplete dump (e_flags bit 0)")
    return Shape(Format.ELF, (), vmcoreinfo, flaw, tuple(proof), memory)


def _segments(image: Image) -> _Segments:
    header = _HEADER.unpack(image.read(0, _HEADER.size))
    _, bits, order, kind, _, _, _, start, sections, flags, _, entry_size, count, *_ = header
    if (bits, order) != (_64_BIT, _LITTLE_ENDIAN):
        raise Flaw("it is an ELF file, but not of a 64-bit little-endian machine")
    if kind != _ET_CORE:
        raise Flaw("it is an ELF file, but not a core")
    if entry_size != _SEGMENT.size or start < _HEADER.size:
        raise Flaw(f"its ELF header claims program headers of {entry_size} bytes at {start}")
    if count == _PN_XNUM:
        (count,) = _SECTION.unpack(image.read(sections, _SECTION.size))
    if not 0 < count <= _MAX_SEGMENTS:
        raise Flaw(f"its ELF header claims {count or 'no'} segments")
    return _Segments(start, count, bool(flags & _INCOMPLETE))


def _headers(image: Image, segments: _Segments) -> Iterator[_Segment]:
    if (missing := image.first_missing(segments.start, segments.end)) is not None:
        raise Torn(f"it ends at {missing}, before its {segments.entries} program headers do")
    for chunk in chunks(image, segments.start, segments.end - segments.start, _STEP):
        for kind, _, offset, _, address, file_size, memory_size, _ in _SEGMENT.iter_unpack(chunk):
            if kind == _PT_NULL:
                raise Flaw("one of its program headers is empty")
            yield _Segment(kind, offset, file_size, address, memory_size)


def _vmcoreinfo(image: Image, headers: Sequence[_Segment]) -> Vmcoreinfo:
    of_process = False
    for number, note in enumerate(_notes(image, headers)):
        if number == MAX_NOTES:
            raise Flaw(f"its segments have more than {MAX_NOTES} ELF notes")
        if note.name == b"VMCOREINFO":
            if note.size > MAX_SIZE:
                raise Flaw(f"its ELF notes claim {note.size} bytes of VMCOREINFO")
            return Vmcoreinfo.parse(image.read(note.offset, note.size))
        of_process |= note.name == b"CORE" and note.kind in _OF_PROCESS
    if of_process:
        raise Foreign("it is the core of a process, not of a kernel")
    raise Flaw("it is an ELF core without VMCOREINFO")


def _notes(image: Image, headers: Sequence[_Segment]) -> Iterator[Note]:
    for segment in headers:
        if segment.kind == _PT_NOTE:
            yield from notes(image, segment.offset, segment.file_size)


def _memory(headers: Sequence[_Segment], vmcoreinfo: Vmcoreinfo) -> Memory:
    """Pages by physical address: the kernel's text has a second segment, of the same memory."""
    page_size = vmcoreinfo.page_size
    loaded = [segment for segment in headers if segment.kind == _PT_LOAD]
    covered = _union((segment.address, segment.memory_size) for segment in loaded) // page_size
    stored = _union((segment.address, segment.file_size) for segment in loaded) // page_size
    return Memory(page_size, covered, stored, zeros=None, left_out=covered - stored)


def _union(pieces: Iterable[tuple[int, int]]) -> int:
    """Bytes in at least one of the pieces, each told as start and size."""
    total = end = 0
    for start, size in sorted(pieces):
        total += max(start + size - max(start, end), 0)
        end = max(end, start + size)
    return total


def _prove(image: Image, segments: _Segments, headers: Sequence[_Segment]) -> None:
    """Raise the first flaw. Segments may share bytes: QEMU maps one physical page to several addresses."""
    saved = 0
    for kind, offset, file_size, _, memory_size in headers:
        if kind not in {_PT_LOAD, _PT_NOTE} or not file_size:
            continue  # makedumpfile leaves a segment without bytes where all its pages were excluded
        if offset < segments.end:
            raise Flaw(f"a segment of {file_size} bytes at {offset} would lie among the headers")
        if kind == _PT_LOAD and file_size > memory_size:
            raise Flaw(f"a segment has {file_size} bytes of {memory_size} bytes of memory")
        if (missing := image.first_missing(offset, offset + file_size)) is not None:
            raise Torn(f"it ends at {missing}, within the segment of {file_size} bytes at {offset}")
        saved += file_size if kind == _PT_LOAD else 0
    if not saved:
        raise Flaw("no segment of it holds any memory")
