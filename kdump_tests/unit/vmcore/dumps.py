"""Dumps small enough to read: what makedumpfile, QEMU and /proc/vmcore write, without a kernel."""

import struct
import zlib
from collections.abc import Mapping

PAGE = 4096
RELEASE = "6.1.0-story"
VMCOREINFO = (
    f"OSRELEASE={RELEASE}\nBUILD-ID=00c0ffee\nPAGESIZE={PAGE}\nNUMBER(phys_base)=0\n"
    "SYMBOL(swapper_pg_dir)=ffffffff81000000\nKERNELOFFSET=0\nCRASHTIME=1700000000\n"
).encode()

# Sixteen page frames: some absent, some zero, some that compress well and some that do not.
PAGES = {
    2: b"two".ljust(PAGE, b"2"),
    3: bytes(PAGE),
    5: bytes(range(256)) * 16,
    9: bytes((i * i * 7919 >> 5) & 0xFF for i in range(PAGE)),
    10: bytes(PAGE),
    14: b"last".ljust(PAGE, b"."),
}

SUB_HEADER_AT = PAGE
NOTES_AT = SUB_HEADER_AT + 104


def note(name: bytes, content: bytes, kind: int = 0) -> bytes:
    padded = name.ljust(len(name) + -len(name) % 4, b"\0")
    return (
        struct.pack("<III", len(name), len(content), kind)
        + padded
        + content.ljust(-(-len(content) // 4) * 4, b"\0")
    )


def notes(vmcoreinfo: bytes = VMCOREINFO) -> bytes:
    """Registers of one CPU, then VMCOREINFO, as the kernel orders them."""
    return note(b"CORE\0", b"r" * 336, kind=1) + note(b"VMCOREINFO\0", vmcoreinfo)


class KdumpCompressed:
    """A kdump-compressed image and where its parts lie. Keywords are what a test wants to lie about."""

    def __init__(
        self,
        pages: Mapping[int, bytes] = PAGES,
        vmcoreinfo: bytes = VMCOREINFO,
        *,
        max_mapnr: int = 16,
        status: int = 1,
        split: int = 0,
        release: str = RELEASE,
        eraseinfo: bytes = b"",
        method: int = 1,
        dump_level: int = 31,
        part: tuple[int, int] | None = None,
    ) -> None:
        bitmap_size = -(-max_mapnr // 8 // PAGE) * PAGE
        note_bytes = notes(vmcoreinfo)
        sub_blocks = -(-(104 + len(note_bytes)) // PAGE)
        self.bitmap_1 = (1 + sub_blocks) * PAGE
        self.bitmap_2 = self.bitmap_1 + bitmap_size
        self.descriptors = self.bitmap_2 + bitmap_size
        self.pages_at = self.descriptors + 24 * len(pages)

        data = bytes(PAGE)  # the page of zeros comes first
        descriptors = b""
        first, end = part or (0, max_mapnr)
        split = 1 if part else split
        for pfn in sorted(pfn for pfn in pages if first <= pfn < end):
            page, flags = zlib.compress(pages[pfn]), method
            if len(page) >= PAGE:
                page, flags = pages[pfn], 0
            at = self.pages_at + len(data)
            if pages[pfn] == bytes(PAGE):
                at, page, flags = self.pages_at, b"", 0
            descriptors += struct.pack("<QIIQ", at, len(page) or PAGE, flags, 0)
            data += page
        saved = sum(1 << pfn for pfn in pages)
        self.end = self.pages_at + len(data)

        vmcoreinfo_at = NOTES_AT + len(note_bytes) - -(-len(vmcoreinfo) // 4) * 4
        erased = (self.end, len(eraseinfo)) if eraseinfo else (0, 0)
        header = struct.pack(
            "<8si65s65s65s65s65s65s6xqqIiiII16xi",
            *(
                b"KDUMP   ",
                6,
                b"Linux",
                b"guest",
                release.encode(),
                b"#1 SMP",
                b"x86_64",
                b"(none)",
                1700000000,
                0,
            ),
            *(status, PAGE, sub_blocks, 2 * bitmap_size // PAGE, min(max_mapnr, 0xFFFFFFFF), 1),
        )
        sub_header = struct.pack(
            "<QiiQQQQQQQQQQQ",
            *(0, dump_level, split, 0, 0, vmcoreinfo_at, len(vmcoreinfo), NOTES_AT, len(note_bytes)),
            *(*erased, *(part or (0, 8 if split else 0)), max_mapnr),
        )
        self.image = b"".join(
            [
                header.ljust(PAGE, b"\0"),
                (sub_header + note_bytes).ljust(sub_blocks * PAGE, b"\0"),
                ((1 << max_mapnr) - 1).to_bytes(bitmap_size, "little"),
                saved.to_bytes(bitmap_size, "little"),
                descriptors.ljust(self.pages_at - self.descriptors, b"\0") + data + eraseinfo,
            ]
        )


def flattened(image: bytes, record: int = 3000) -> bytes:
    """The image as ``makedumpfile -F`` sends it: records, here of one size, and the end marker."""
    parts = [struct.pack(">16sqq", b"makedumpfile", 1, 1).ljust(4096, b"\0")]
    for start in range(0, len(image), record):
        data = image[start : start + record]
        parts += [flat_record(start, data)]
    return b"".join([*parts, END_MARKER])


def flat_record(start: int, data: bytes) -> bytes:
    return struct.pack(">qq", start, len(data)) + data


END_MARKER = struct.pack(">qq", -1, -1)


def elf_core(
    vmcoreinfo: bytes = VMCOREINFO,
    memory: tuple[bytes, ...] = (b"a" * PAGE, b"b" * 2 * PAGE),
    *,
    flags: int = 0,
    extended: bool = False,
) -> bytes:
    """A core of one note segment and some memory; ``extended`` counts the segments as PN_XNUM does."""
    entries = 1 + len(memory)
    table_end = 64 + 56 * entries
    section = struct.pack("<44xI16x", entries) if extended else b""
    note_bytes = notes(vmcoreinfo)
    at = table_end + len(section)
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 4, 62, 1, 0, 64, table_end if extended else 0, flags),
        *(64, 56, 0xFFFF if extended else entries, 64 if extended else 0, 1 if extended else 0, 0),
    )
    table = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(note_bytes), 0, 0)
    at += len(note_bytes)
    for index, data in enumerate(memory):
        place = at if data else 0  # where all pages were excluded, as makedumpfile writes it
        table += struct.pack(
            "<IIQQQQQQ", 1, 7, place, index << 30, index << 30, len(data), len(data) + PAGE, 0
        )
        at += len(data)
    return b"".join([header, table, section, note_bytes, *memory])
