"""The kdump-compressed format: two headers, two bitmaps, a descriptor per page, the pages.

Source: diskdump_mod.h and write_kdump_header() of makedumpfile 1.7.9; QEMU writes the same (dump/dump.c).
All numbers are little-endian and the kernel is a 64-bit one.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from kdump_tests.vmcore import pages
from kdump_tests.vmcore.flaw import Flaw, Partial, Torn
from kdump_tests.vmcore.image import Image, chunks
from kdump_tests.vmcore.notes import vmcoreinfo_note
from kdump_tests.vmcore.pages import Count, Pages, Proven, count_pages, prove_pages
from kdump_tests.vmcore.shape import Format, FrameSets, Memory, Part, Shape
from kdump_tests.vmcore.vmcoreinfo import MAX_SIZE, PAGE_SIZES, Vmcoreinfo

SIGNATURE = b"KDUMP   "

# struct disk_dump_header: signature, version, utsname (sysname, release, version, machine; the names of
# host and domain prove nothing), timeval, status, block_size, sub_hdr_size, bitmap_blocks, max_mapnr,
# four counters of no use here, nr_cpus.
_HEADER = struct.Struct("<8si65s65x65s65s65s65x6x16xIiiII16xi")
# struct kdump_sub_header: phys_base, dump_level, split, start_pfn, end_pfn, three pairs of offset and
# size (VMCOREINFO, notes, eraseinfo), start_pfn_64, end_pfn_64, max_mapnr_64.
_SUB_HEADER = struct.Struct("<Qii2Q2Q2Q2Q3Q")
_SUB_HEADER_SIZE = {1: 16, 2: 32, 3: 48, 4: 64, 5: 80, 6: 104}  # by header_version: each adds at the end

_INCOMPLETE = 0x8
_COMPRESSION = {0x1: "zlib", 0x2: "lzo", 0x4: "snappy", 0x20: "zstd"}

_MAX_MAPNR = 1 << 36  # 48 bits of physical address in pages of 4 KiB: what arm64 can address; x86 has 46


@dataclass(frozen=True)
class _Headers:
    """Both headers. Offsets and sizes in bytes of the image, except where a name says otherwise."""

    version: int
    names: tuple[bytes, ...]  # sysname, release, version, machine
    status: int
    block_size: int
    sub_header_blocks: int
    bitmap_blocks: int
    max_mapnr: int
    cpus: int
    phys_base: int
    dump_level: int
    part: Part | None
    vmcoreinfo: tuple[int, int]
    notes: tuple[int, int]
    eraseinfo: tuple[int, int]

    @classmethod
    def read(cls, image: Image) -> Self:
        """Read and judge both headers; nothing they point at is read.

        Raises:
            Flaw: they are torn, or nobody writes such headers.
        """
        _, version, *names, status, block_size, sub_blocks, bitmap_blocks, mapnr_32, cpus = _HEADER.unpack(
            image.read(0, _HEADER.size)
        )
        if not 1 <= version <= max(_SUB_HEADER_SIZE):
            raise Flaw(
                f"its header is of version {version}, not 1 to {max(_SUB_HEADER_SIZE)} in little-endian"
            )
        if block_size not in PAGE_SIZES:
            raise Flaw(f"its header claims pages of {block_size} bytes")
        size = _SUB_HEADER_SIZE[version]
        (phys_base, level, split, start_32, end_32, *places, start_64, end_64, mapnr_64) = (
            _SUB_HEADER.unpack(image.read(block_size, size).ljust(_SUB_HEADER.size, b"\0"))
        )
        if version >= 6 and mapnr_32 != min(mapnr_64, 0xFFFFFFFF):
            raise Flaw(f"its header counts {mapnr_32} page frames, its sub-header {mapnr_64}")
        max_mapnr = mapnr_64 if version >= 6 else mapnr_32
        if not 0 < max_mapnr <= _MAX_MAPNR:
            raise Flaw(f"its header claims memory of {max_mapnr} pages")
        if sub_blocks < 1 or cpus < 1:
            raise Flaw(f"its header claims {sub_blocks} blocks of sub-header and {cpus} CPUs")
        if bitmap_blocks % 2 or bitmap_blocks * block_size // 2 * 8 < max_mapnr:
            raise Flaw(f"its header claims {bitmap_blocks} blocks for two bitmaps of {max_mapnr} pages each")
        part = Part(*((start_64, end_64) if version >= 6 else (start_32, end_32))) if split else None
        if part and not part.first <= part.end <= max_mapnr:
            raise Flaw(f"its sub-header claims the part from page {part.first} to {part.end} of {max_mapnr}")
        return cls(
            version=version,
            names=tuple(name.rstrip(b"\0") for name in names),
            status=status,
            block_size=block_size,
            sub_header_blocks=sub_blocks,
            bitmap_blocks=bitmap_blocks,
            max_mapnr=max_mapnr,
            cpus=cpus,
            phys_base=phys_base,
            dump_level=level,
            part=part,
            vmcoreinfo=(places[0], places[1]),
            notes=(places[2], places[3]),
            eraseinfo=(places[4], places[5]),
        )

    @property
    def bitmaps_at(self) -> int:
        return (1 + self.sub_header_blocks) * self.block_size

    @property
    def pages(self) -> Pages:
        return Pages(
            bitmaps_at=self.bitmaps_at,
            bitmap_size=self.bitmap_blocks * self.block_size // 2,
            max_mapnr=self.max_mapnr,
            part=range(self.part.first, self.part.end) if self.part else range(self.max_mapnr),
            block_size=self.block_size,
            compression=frozenset(bit for bit in _COMPRESSION if self.status & bit),
        )

    def check_in_sub_header(self, what: str, place: tuple[int, int]) -> None:
        start, size = place
        if start < self.block_size + _SUB_HEADER_SIZE[self.version] or start + size > self.bitmaps_at:
            raise Flaw(f"its {what} ({size} bytes at {start}) would lie outside the sub-header")


def shape(image: Image) -> Shape:
    """What the dump says of itself, and whether all of it is there.

    Raises:
        Flaw: its headers are torn or make no sense, so nothing else can be read.
    """
    headers = _Headers.read(image)
    flaw: Flaw | None = None
    vmcoreinfo, memory, proof = Vmcoreinfo({}), None, list[str]()
    try:
        vmcoreinfo = _vmcoreinfo(image, headers)
        _check_twice_told(headers, vmcoreinfo)
        _check_notes(image, headers)
        proof.append("its headers, its notes and its VMCOREINFO agree")
        count = count_pages(image, headers.pages)
        memory = _memory(headers, count, None)
        proven = prove_pages(image, headers.pages, count)
        memory = _memory(headers, count, proven)
        _check_eraseinfo(image, headers, proven.end)
        proof.append(f"its {count.in_part} page descriptors lead from page to page, and all lie in the file")
    except Flaw as found:
        flaw = found
    if headers.part and not flaw:
        holds = _told(headers.part)
        flaw = Partial(f"it is one part of a split dump, which holds {holds}; this part is whole")
    if headers.status & _INCOMPLETE:
        # Set by makedumpfile when the disk was full (check_and_modify_kdump_headers); the rest follows.
        flaw = Torn("its header carries makedumpfile's mark of an incomplete dump (status bit 8)")
    return Shape(
        format=Format.KDUMP_COMPRESSED,
        compression=tuple(name for bit, name in _COMPRESSION.items() if headers.status & bit),
        vmcoreinfo=vmcoreinfo,
        flaw=flaw,
        proof=tuple(proof),
        memory=memory,
        dump_level=headers.dump_level,
        part=headers.part,
    )


def first_absent(image: Image, frames: range) -> int | None:
    """See pages.first_absent()."""
    return pages.first_absent(image, _Headers.read(image).pages, frames)


def frame_sets(image: Image) -> FrameSets:
    """See FrameSets."""
    where = _Headers.read(image).pages
    return FrameSets(where.max_mapnr, lambda frames: pages.sets_of_frames(image, where, frames))


def put_together(parts: Sequence[Image]) -> Iterator[tuple[int, bytes]]:
    """The dump that was split into these, whole ones in their order, as `makedumpfile --reassemble` does it.

    Bytes, each with the offset where they belong.

    Raises:
        Flaw: they are not parts of one dump, or not all of it.
    """
    headers = [_Headers.read(part) for part in parts]
    _check_parts(parts, headers)
    first, image = headers[0], parts[0]
    size = _SUB_HEADER_SIZE[first.version]
    head = bytearray(image.read(0, 2 * first.block_size))
    # In one piece: neither split nor with a range. What was erased is told behind the pages, and left out.
    for start, end in ((12, 32), (64, 96)):
        head[first.block_size + start : first.block_size + min(end, size)] = bytes(
            max(min(end, size) - start, 0)
        )
    yield 0, bytes(head)
    at = len(head)
    for chunk in chunks(image, at, first.pages.descriptors_at - at):
        yield at, chunk
        at += len(chunk)
    yield from pages.join([(part, each.pages) for part, each in zip(parts, headers, strict=True)])


def _check_parts(parts: Sequence[Image], headers: Sequence[_Headers]) -> None:
    end = 0
    for number, (image, each) in enumerate(zip(parts, headers, strict=True), 1):
        if each.part is None:
            raise Flaw(f"file {number} is no part of a split dump")
        if each.part.first != end:
            raise Flaw(f"the parts have the pages up to {end} and from {each.part.first}, not those between")
        if replace(each, part=None, eraseinfo=(0, 0)) != replace(headers[0], part=None, eraseinfo=(0, 0)):
            raise Flaw(f"file {number} has other headers than the first: it is a part of another dump")
        end = each.part.end
        span = (headers[0].bitmaps_at, headers[0].pages.descriptors_at - headers[0].bitmaps_at)
        for of_first, of_this in zip(chunks(parts[0], *span), chunks(image, *span), strict=True):
            if of_first != of_this:
                raise Flaw(f"file {number} has other bitmaps than the first: it is a part of another dump")
    if end != headers[0].max_mapnr:
        raise Flaw(f"the parts have the pages up to {end}, not those up to {headers[0].max_mapnr}")


def saved_frames(image: Image) -> Iterator[int]:
    """See pages.saved_frames()."""
    return pages.saved_frames(image, _Headers.read(image).pages)


def _told(part: Part) -> str:
    return f"the pages from {part.first} to {part.end - 1}" if part.first < part.end else "no pages"


def _memory(headers: _Headers, count: Count, proven: Proven | None) -> Memory:
    zeros = proven.zeros if proven else None
    return Memory(
        page_size=headers.block_size,
        covered=count.existing,
        stored=count.in_part - (zeros or 0),
        zeros=zeros,
        left_out=count.existing - count.saved,
    )


def _vmcoreinfo(image: Image, headers: _Headers) -> Vmcoreinfo:
    start, size = headers.vmcoreinfo
    if not size:
        raise Flaw("it holds no VMCOREINFO, so no tool can tell its kernel's memory apart")
    if size > MAX_SIZE:
        raise Flaw(f"its sub-header claims {size} bytes of VMCOREINFO")
    headers.check_in_sub_header("VMCOREINFO", headers.vmcoreinfo)
    return Vmcoreinfo.parse(image.read(start, size))


def _check_notes(image: Image, headers: _Headers) -> None:
    if headers.version < 4:
        return  # VMCOREINFO alone came before them
    headers.check_in_sub_header("ELF notes", headers.notes)
    note = vmcoreinfo_note(image, *headers.notes)
    if note is None or (note.offset, note.size) != headers.vmcoreinfo:
        raise Flaw("its ELF notes do not lead to its VMCOREINFO")


def _check_eraseinfo(image: Image, headers: _Headers, end: int) -> None:
    start, size = headers.eraseinfo
    if size and start < end:
        raise Flaw(f"its eraseinfo ({size} bytes at {start}) would lie among the pages")
    if size and (missing := image.first_missing(start, start + size)) is not None:
        raise Torn(f"it ends at {missing}, before its eraseinfo does")


def _check_twice_told(headers: _Headers, vmcoreinfo: Vmcoreinfo) -> None:
    """What a header and VMCOREINFO both tell must be the same."""
    release = vmcoreinfo["OSRELEASE"].encode()
    told = headers.names[:2] == (b"Linux", release) and all(headers.names)
    # QEMU tells the machine alone (create_header64() in dump/dump.c).
    if b"\0" in b"".join(headers.names) or not (told or not any(headers.names[:3])):
        raise Flaw(f"its header names {b' '.join(headers.names)!r}, its VMCOREINFO kernel {release!r}")
    phys_base = vmcoreinfo.get("NUMBER(phys_base)", "")  # x86_64 only; signed
    if phys_base and phys_base != str(struct.unpack("<q", struct.pack("<Q", headers.phys_base))[0]):
        raise Flaw(f"its sub-header says phys_base {headers.phys_base}, its VMCOREINFO {phys_base}")
    if vmcoreinfo["PAGESIZE"] != str(headers.block_size):
        raise Flaw(
            f"its header says pages of {headers.block_size} bytes, its VMCOREINFO {vmcoreinfo['PAGESIZE']}"
        )
