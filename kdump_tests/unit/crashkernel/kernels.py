"""The first bytes of kernels, made up: as much as tells one form from another."""

import struct


def elf(byte_order: str, machine: int, notes: bytes | None = None) -> bytes:
    """An ELF file of 64 bits, with or without a segment of notes. ``byte_order`` as in struct: < or >."""
    segments = [] if notes is None else [(4, 64 + 56, len(notes))]
    header = struct.pack(
        f"{byte_order}4sBBB9xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, {"<": 1, ">": 2}[byte_order], 1, 2, machine, 1),
        *(0, 64 if segments else 0, 0, 0, 64, 56, len(segments), 0, 0, 0),
    )
    table = b"".join(struct.pack("<IIQQQQQQ", kind, 0, at, 0, 0, n, n, 4) for kind, at, n in segments)
    return header + table + (notes or b"")


def note(name: bytes, kind: int, content: bytes) -> bytes:
    """One ELF note."""
    return struct.pack("<III", len(name), len(content), kind) + name + content


def zboot(payload: bytes, compression: bytes = b"gzip", size: int | None = None) -> bytes:
    """An EFI program with a packed kernel inside."""
    size = len(payload) if size is None else size
    return struct.pack("<8sII8x32s", b"MZ\0\0zimg", 128, size, compression).ljust(128, b"\0") + payload


BZIMAGE = b"MZ".ljust(0x1FE, b"\0") + b"\x55\xaa\xeb\x6aHdrS" + bytes(1000)
IMAGE = b"MZ".ljust(0x38, b"\0") + b"ARM\x64" + bytes(1000)
PVH_NOTE = note(b"Xen\0", 18, struct.pack("<Q", 0x1000000))
VMLINUX_X86_64 = elf("<", 62, note(b"Linux\0\0\0", 257, bytes(4)) + PVH_NOTE)
VMLINUX_PPC64LE = elf("<", 21)
S390X = bytes(0x10008) + b"S390EP" + bytes(100)
