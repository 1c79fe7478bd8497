"""Kernels without code: what of a vmlinux tells its build ID."""

import struct

from kdump_tests.unit.vmcore.dumps import note

BUILD_ID = "00c0ffee"  # that of the dumps in dumps.py
OTHER_BUILD_ID = "0badcafe"


def vmlinux(build_id: str = BUILD_ID, *, name: bytes = b"GNU\0", kind: int = 3) -> bytes:
    """An ELF file with one section, of notes: somebody's first, then the build ID."""
    content = note(b"Xen\0", b"linux\0", kind=6) + note(name, bytes.fromhex(build_id), kind=kind)
    notes_at, sections_at = 64, 64 + len(content)
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 2, 62, 1, 0, 0, sections_at, 0, 64, 0, 0, 64, 2, 0),
    )
    nothing = bytes(64)
    section = struct.pack("<IIQQQQIIQQ", 0, 7, 0, 0, notes_at, len(content), 0, 0, 4, 0)
    return header + content + nothing + section
