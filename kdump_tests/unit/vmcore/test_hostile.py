"""Files made to waste a reader's memory and time, or to lead it astray: each ends soon and says why."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.errors import BadDump
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.vmcore.dumps import (
    END_MARKER,
    PAGE,
    SUB_HEADER_AT,
    VMCOREINFO,
    KdumpCompressed,
    elf_core,
    note,
    notes,
)
from kdump_tests.vmcore.inspection import inspect

_MOST_MEMORY = 300 * MIB
_LONGEST_SECONDS = 60  # on a host that does much else

# In a process of its own, by its own memory's peak: ru_maxrss begins with that of the process it came from
# (setmax_mm_hiwater_rss() in exec_mmap(), fs/exec.c).
_MEASURE = """
import re, sys
from pathlib import Path
from kdump_tests.errors import KdumpVerifyError
from kdump_tests.vmcore.inspection import inspect
try:
    print(inspect(Path(sys.argv[1])).incomplete_because or "complete")
except KdumpVerifyError as error:
    print(error.message)
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10)
"""


def sparse(path: Path, head: bytes, size: int) -> None:
    path.write_bytes(head)
    os.truncate(path, size)


def core_of_20_gib(path: Path) -> None:
    core = bytearray(elf_core(memory=(b"first page",)))
    struct.pack_into("<QQ", core, 64 + 56 + 32, 20 * GIB, 20 * GIB)
    sparse(path, bytes(core), len(core) + 20 * GIB)


def kdump_of_20_gib(path: Path) -> None:
    """Every page uncompressed, of 64 KiB as on some arm64 kernels: 327680 descriptors."""
    size, count = 1 << 16, 20 * GIB >> 16
    small = KdumpCompressed(vmcoreinfo=VMCOREINFO.replace(b"PAGESIZE=4096", b"PAGESIZE=65536"))
    header, sub_header = bytearray(small.image[:464]), bytearray(small.image[SUB_HEADER_AT : small.bitmap_1])
    struct.pack_into("<IiII", header, 428, size, 1, 2, count)
    struct.pack_into("<Q", sub_header, 96, count)
    for field in (32, 48):  # where VMCOREINFO and the notes are
        (place,) = struct.unpack_from("<Q", sub_header, field)
        struct.pack_into("<Q", sub_header, field, place - SUB_HEADER_AT + size)
    bitmap = (b"\xff" * (count // 8)).ljust(size, b"\0")
    first = 4 * size + 24 * count
    descriptors = b"".join(struct.pack("<QIIQ", first + size * i, size, 0, 0) for i in range(1, count + 1))
    head = b"".join([header.ljust(size, b"\0"), sub_header.ljust(size, b"\0"), bitmap, bitmap, descriptors])
    sparse(path, head, first + size * (count + 1))


def kdump_of_16_tib(path: Path) -> None:
    dump = KdumpCompressed()
    head = bytearray(dump.image[: dump.bitmap_1])
    struct.pack_into("<II", head, 436, 1 << 18, 0xFFFFFFFF)
    struct.pack_into("<Q", head, SUB_HEADER_AT + 96, 1 << 32)
    sparse(path, bytes(head), 20 * GIB)


def core_of_a_million_segments(path: Path) -> None:
    core = bytearray(elf_core(extended=True))
    struct.pack_into("<I", core, 64 + 56 * 3 + 44, 1 << 20)
    sparse(path, bytes(core), 20 * GIB)


def core_of_as_many_segments_as_are_read(path: Path) -> None:
    count = 1 << 18
    header = bytearray(elf_core(extended=True)[:64])
    table_end = 64 + 56 * count
    struct.pack_into("<Q", header, 40, table_end)
    at, note_bytes = table_end + 64, notes()
    table = [struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(note_bytes), 0, 0)]
    table += [
        struct.pack("<IIQQQQQQ", 1, 7, at + len(note_bytes), 0, (7919 * i) % count << 20, PAGE, PAGE, 0)
        for i in range(1, count)
    ]
    path.write_bytes(b"".join([header, *table, struct.pack("<44xI16x", count), note_bytes, bytes(PAGE)]))


def core_of_the_same_notes_again_and_again(path: Path) -> None:
    count = 1000
    segment = struct.pack("<IIQQQQQQ", 4, 0, 64 + 56 * count, 0, 0, 20 << 17, 0, 0)
    header = bytearray(elf_core()[:64])
    struct.pack_into("<H", header, 56, count)
    path.write_bytes(bytes(header) + segment * count + note(b"CPUx", b"1234") * (1 << 17))


def flattened_into_tiny_records(path: Path) -> None:
    header = struct.pack(">16sqq", b"makedumpfile", 1, 1).ljust(4096, b"\0")
    count = 1 << 19
    records = (struct.pack(">qqB", 7919 * i % count, 1, 75) for i in range(count))
    path.write_bytes(b"".join([header, *records, END_MARKER]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (core_of_20_gib, "complete"),
        (kdump_of_20_gib, "complete"),
        (kdump_of_16_tib, "no page was saved"),
        (core_of_a_million_segments, "claims 1048576 segments"),
        (core_of_as_many_segments_as_are_read, "complete"),
        (core_of_the_same_notes_again_and_again, "more than 131072 ELF notes"),
        (flattened_into_tiny_records, "which no dump format does"),
    ],
)
def test_memory_and_time_are_bounded(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "vmcore"
    make(path)
    told, peak = subprocess.run(
        [sys.executable, "-c", _MEASURE, path],
        stdout=subprocess.PIPE, text=True, check=True, timeout=_LONGEST_SECONDS,
    ).stdout.splitlines()  # fmt: skip
    assert words in told
    assert int(peak) < _MOST_MEMORY


def test_the_core_of_a_process_is_no_dump(tmp_path: Path) -> None:
    core = bytearray(elf_core().replace(b"VMCOREINFO\0", b"LINUX\0\0\0\0\0\0"))
    struct.pack_into("<I", core, core.index(b"CORE\0") - 4, 3)  # NT_PRPSINFO
    path = tmp_path / "core.1234"
    path.write_bytes(core)
    with pytest.raises(BadDump, match="it is the core of a process, not of a kernel"):
        inspect(path)
