"""ELF cores: every segment lies in the file, and they are a kernel's."""

import struct
from pathlib import Path

import pytest

from kdump_tests.errors import BadDump
from kdump_tests.unit.vmcore.dumps import VMCOREINFO, elf_core, note
from kdump_tests.vmcore.inspection import inspect

CORE = elf_core()
SEGMENTS = 64  # offset of the program headers, 56 bytes each: notes, memory, memory


def lying(form: str, offset: int, *values: int, core: bytes = CORE) -> bytes:
    image = bytearray(core)
    struct.pack_into(form, image, offset, *values)
    return bytes(image)


def flaw_of(path: Path, core: bytes) -> str:
    path.write_bytes(core)
    return inspect(path).incomplete_because


@pytest.mark.parametrize(
    ("core", "reason"),
    [
        (elf_core(flags=1), "mark of an incomplete dump"),
        (CORE[:-1], "within the segment of 8192 bytes"),
        (lying("<Q", SEGMENTS + 56 + 32, 1 << 62), "a segment has 4611686018427387904 bytes"),
        (lying("<QQ", SEGMENTS + 56 + 32, 1 << 62, 1 << 62), "within the segment"),
        (lying("<Q", SEGMENTS + 56 + 8, 1 << 63), "within the segment"),
        (lying("<Q", SEGMENTS + 56 + 8, 0), "among the headers"),
        (lying("<I", SEGMENTS + 56, 0), "program headers is of type 0x0"),
        (lying("<I", SEGMENTS, 0), "program headers is of type 0x0"),
        (lying("<I", SEGMENTS + 2 * 56, 2), "program headers is of type 0x2"),
        (lying("<Q", SEGMENTS + 32, 0), "without VMCOREINFO"),
        (lying("<Q", 32, 1 << 62), "before its 3 program headers"),
        (lying("<I", 64 + 3 * 56 + 44, 1 << 18, core=elf_core(extended=True)), "262144 program headers"),
        (elf_core(memory=()), "holds any memory"),
        (elf_core(VMCOREINFO[:-10]), "VMCOREINFO is damaged"),
        (elf_core(VMCOREINFO.replace(b"OSRELEASE", b"\0SRELEASE")), "VMCOREINFO is damaged"),
    ],
)
def test_a_core_that_is_not_whole_says_why(tmp_path: Path, core: bytes, reason: str) -> None:
    assert reason in flaw_of(tmp_path / "vmcore", core)


@pytest.mark.parametrize(
    ("core", "reason"),
    [
        (lying("<B", 4, 1), "64-bit little-endian"),
        (lying("<B", 5, 2), "64-bit little-endian"),
        (lying("<H", 16, 2), "not a core"),
        (lying("<H", 54, 32), "program headers of 32 bytes"),
        (lying("<H", 56, 0), "no segments"),
        (lying("<Q", 40, 1 << 62, core=elf_core(extended=True)), "needs 64 bytes"),
        (CORE[:63], "needs 64 bytes"),
        (lying("<I", 64 + 3 * 56 + 44, 0xFFFFFFFF, core=elf_core(extended=True)), "4294967295 segments"),
    ],
)
def test_another_elf_file_is_no_dump(tmp_path: Path, core: bytes, reason: str) -> None:
    with pytest.raises(BadDump, match=reason):
        flaw_of(tmp_path / "vmcore", core)


def test_a_segment_whose_pages_were_all_excluded_is_no_loss(tmp_path: Path) -> None:
    assert flaw_of(tmp_path / "vmcore", elf_core(memory=(b"", b"kept"))) == ""


def test_notes_that_never_end_are_given_up(tmp_path: Path) -> None:
    table = struct.pack("<IIQQQQQQ", 4, 0, 64 + 56, 0, 0, 1 << 40, 0, 0)
    header = lying("<H", 56, 1)[:64]
    path = tmp_path / "vmcore"
    path.write_bytes(header + table + note(b"x", b"") * (1 << 17))
    with path.open("r+b") as file:
        file.truncate((1 << 40) + 4096)  # sparse
    assert "more than 131072 ELF notes" in inspect(path).incomplete_because


def test_vmcoreinfo_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    table = struct.pack("<IIQQQQQQ", 4, 0, 64 + 56, 0, 0, 1 << 40, 0, 0)
    vmcoreinfo = struct.pack("<III", 11, 0xFFFF_FFF0, 0) + b"VMCOREINFO\0\0"
    path = tmp_path / "vmcore"
    path.write_bytes(lying("<H", 56, 1)[:64] + table + vmcoreinfo)
    with path.open("r+b") as file:
        file.truncate((1 << 40) + 4096)  # sparse
    assert "claim 4294967280 bytes of VMCOREINFO" in inspect(path).incomplete_because


def test_a_note_that_reaches_out_of_its_segment_is_damage(tmp_path: Path) -> None:
    image = lying("<I", SEGMENTS + 3 * 56 + 4, 0xFFFFFFFF)
    assert "reaches out of its segment" in flaw_of(tmp_path / "vmcore", image)
