"""An ELF core of a kernel: /proc/vmcore copied as it is, or ``makedumpfile -E``. 64-bit, little-endian.

Source: elf(5); write_elf_header() and check_and_modify_elf_headers() of makedumpfile 1.7.9.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kdump_tests.vmcore.flaw import Flaw, Foreign, Torn
from kdump_tests.vmcore.image import CHUNK, Image, chunks
from kdump_tests.vmcore.notes import MAX_NOTES, Note, notes
from kdump_tests.vmcore.shape import Format, FrameSets, Memory, Shape
from kdump_tests.vmcore.vmcoreinfo import MAX_SIZE, Vmcoreinfo

MAGIC = b"\x7fELF"
BITS_64, LITTLE_ENDIAN, _ET_CORE, _PN_XNUM = 2, 1, 4, 0xFFFF
_PT_LOAD, _PT_NOTE = 1, 4
_OF_PROCESS = {3, 6}  # NT_PRPSINFO and NT_AUXV, which fs/binfmt_elf.c writes and fs/proc/vmcore.c does not
_INCOMPLETE = 1  # e_flags, makedumpfile.c DUMP_ELF_INCOMPLETE

HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
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


def frame_sets(image: Image, page_size: int) -> FrameSets:
    """See FrameSets. Frames that a piece of memory only touches are not of it."""
    loaded = [segment for segment in _headers(image, _segments(image)) if segment.kind == _PT_LOAD]
    memory = _Frames(((s.address, s.memory_size) for s in loaded), page_size)
    saved = _Frames(((s.address, s.file_size) for s in loaded), page_size)
    return FrameSets(memory.end, lambda frames: (memory.among(frames), saved.among(frames)))


class _Frames:
    """Frames in runs that are in order and apart."""

    def __init__(self, pieces: Iterable[tuple[int, int]], page_size: int) -> None:
        self._starts, self._ends = list[int](), list[int]()
        for start, end in _merged(pieces):
            self._starts.append(-(-start // page_size))
            self._ends.append(end // page_size)

    @property
    def end(self) -> int:
        return max(self._ends, default=0)

    def among(self, frames: range) -> int:
        """Those of the frames that are here; the first of them is bit 0."""
        found = 0
        for index in range(bisect_right(self._ends, frames.start), len(self._starts)):
            start, end = max(self._starts[index], frames.start), min(self._ends[index], frames.stop)
            if self._starts[index] >= frames.stop:
                break
            if start < end:
                found |= ((1 << end - start) - 1) << (start - frames.start)
        return found


def _segments(image: Image) -> _Segments:
    header = HEADER.unpack(image.read(0, HEADER.size))
    _, bits, order, kind, _, _, _, start, sections, flags, _, entry_size, count, *_ = header
    if (bits, order) != (BITS_64, LITTLE_ENDIAN):
        raise Flaw("it is an ELF file, but not of a 64-bit little-endian machine")
    if kind != _ET_CORE:
        raise Flaw("it is an ELF file, but not a core")
    if entry_size != _SEGMENT.size or start < HEADER.size:
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
            if kind not in {_PT_LOAD, _PT_NOTE}:  # neither /proc/vmcore, makedumpfile nor QEMU has others
                raise Flaw(f"one of its program headers is of type {kind:#x}, which no core of a kernel has")
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
    return sum(end - start for start, end in _merged(pieces))


def _merged(pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same memory as starts and ends, in order and apart."""
    run: tuple[int, int] | None = None
    for start, size in sorted(pieces):
        if run and start <= run[1]:
            run = (run[0], max(run[1], start + size))
            continue
        if run:
            yield run
        run = (start, start + size)
    if run:
        yield run


def _prove(image: Image, segments: _Segments, headers: Sequence[_Segment]) -> None:
    """Raise the first flaw. Segments may share bytes: QEMU maps one physical page to several addresses."""
    saved = 0
    for kind, offset, file_size, _, memory_size in headers:
        if not file_size:
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
