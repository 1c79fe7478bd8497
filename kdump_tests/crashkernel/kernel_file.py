"""What kernel a file is, told by its own header, and how QEMU gets it."""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kdump_tests.errors import BadInput


@dataclass(frozen=True)
class Form:
    """A form that kernels come in: bytes at fixed places of the file. ``refusal``: why none is asked."""

    name: str
    architecture: str
    marks: tuple[tuple[int, bytes], ...]
    refusal: str = ""
    way_out: str = ""

    def __str__(self) -> str:
        return f"{self.architecture} {self.name}"


# System V ABI: class 2 is 64-bit, data 1 is little-endian, 2 big-endian; the machine's number is at 18.
_ELF_LITTLE, _ELF_BIG = (0, b"\x7fELF\x02\x01"), (0, b"\x7fELF\x02\x02")
_NO_CRASH_DUMP = "Debian builds s390x kernels without CONFIG_CRASH_DUMP, and none that answers was at hand"
FORMS = (
    # Documentation/arch/x86/boot.rst: the boot sector's mark at 0x1fe, the header's magic at 0x202.
    Form("bzImage", "x86_64", ((0x1FE, b"\x55\xaa"), (0x202, b"HdrS"))),
    Form("vmlinux", "x86_64", (_ELF_LITTLE, (18, b"\x3e\x00"))),
    # Documentation/arch/arm64/booting.rst, "Call the kernel image".
    Form("Image", "arm64", ((0x38, b"ARM\x64"),)),
    Form(
        "vmlinux",
        "arm64",
        (_ELF_LITTLE, (18, b"\xb7\x00")),
        "its addresses are virtual, and QEMU would load it to where no memory is",
        "the vmlinuz or Image beside it",
    ),
    Form("vmlinux", "ppc64le", (_ELF_LITTLE, (18, b"\x15\x00"))),
    Form("vmlinux", "ppc64", (_ELF_BIG, (18, b"\x00\x15")), "it is a big-endian kernel"),
    # arch/s390/boot/head.S
    Form("vmlinuz", "s390x", ((0x10008, b"S390EP"),), _NO_CRASH_DUMP),
    Form("vmlinux", "s390x", (_ELF_BIG, (18, b"\x00\x16")), _NO_CRASH_DUMP),
)
# The header reaches as far as the last mark.
_HEADER = max(at + len(mark) for form in FORMS for at, mark in form.marks)

_GZIP = b"\x1f\x8b\x08"
# drivers/firmware/efi/libstub/zboot-header.S: the payload's offset and size come next, two reserved words,
# and the compression's name.
_ZBOOT = b"MZ\0\0zimg"
_ZBOOT_HEADER = struct.Struct("<8sII8x32s")
# By this note QEMU finds where to enter a vmlinux: XEN_ELFNOTE_PHYS32_ENTRY, type 18, named Xen, four or
# eight bytes long (include/xen/interface/elfnote.h).
_PVH_NOTE = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")
_PT_NOTE = 4
# A vmlinux has five segments, and 500 bytes of notes.
_MOST_SEGMENTS, _LONGEST_NOTES = 32, 1 << 20


@dataclass(frozen=True)
class KernelFile:
    """A kernel that QEMU can load. ``payload``: offset and size, in bytes, of what it loads of the file."""

    path: Path
    architecture: str
    payload: tuple[int, int] | None = None  # None: the whole file


def read_kernel_file(path: Path) -> KernelFile:
    """What a file is.

    Raises:
        BadInput: it is no kernel, none that can be asked, or cannot be read.
    """
    try:
        # Opening a FIFO would wait for whoever writes into it.
        if not path.is_file():
            raise BadInput(f"{path} is not a kernel: no such file")
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


@contextmanager
def loadable(kernel: KernelFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path for QEMU, and the file descriptors that it must inherit for it."""
    if kernel.payload is None:
        yield str(kernel.path), ()
        return
    offset, size = kernel.payload
    # A file in memory, without a name: nothing is left of it, whatever ends us.
    with kernel.path.open("rb") as file, os.fdopen(os.memfd_create("kernel"), "wb") as copy:
        file.seek(offset)
        copy.write(file.read(size))
        copy.flush()
        yield f"/proc/self/fd/{copy.fileno()}", (copy.fileno(),)


def _read(path: Path, file: BinaryIO) -> KernelFile:
    head = file.read(_HEADER)
    if head.startswith(_ZBOOT):
        return _zboot(path, file, head)
    if head.startswith(_GZIP):
        _require_packed_image(path, head)
        return KernelFile(path, "arm64")
    form = _form(path, head)
    if form.refusal:
        raise BadInput(
            f"{path} is a kernel that cannot be asked",
            form=form,
            reason=form.refusal,
            way_out=form.way_out,
        )
    if (form.name, form.architecture) == ("vmlinux", "x86_64") and not _PVH_NOTE.search(_notes(file)):
        raise BadInput(
            f"{path} is a vmlinux that QEMU cannot boot: it has no PVH note",
            way_out="the vmlinuz beside it",
        )
    return KernelFile(path, form.architecture)


def _form(path: Path, head: bytes) -> Form:
    for form in FORMS:
        if all(head[at : at + len(mark)] == mark for at, mark in form.marks):
            return form
    raise BadInput(
        f"{path} is not a kernel of any form that is known",
        begins_with=repr(head[:16]),
        known=", ".join(str(form) for form in FORMS if not form.refusal),
    )


def _zboot(path: Path, file: BinaryIO, head: bytes) -> KernelFile:
    """An EFI program that unpacks its payload. QEMU 7.2 knows nothing of it, but loads the payload."""
    _, offset, size, name = _ZBOOT_HEADER.unpack(head[: _ZBOOT_HEADER.size].ljust(_ZBOOT_HEADER.size, b"\0"))
    compression = name.split(b"\0")[0].decode("ascii", errors="replace")
    if compression != "gzip":
        raise BadInput(
            f"{path} is an EFI zboot kernel that cannot be unpacked here",
            compression=compression,
            way_out="an Image, or a kernel packed with gzip",
        )
    if offset + size > path.stat().st_size:
        raise BadInput(f"{path} is cut off: its payload ends beyond the file")
    file.seek(offset)
    _require_packed_image(path, file.read(min(size, _HEADER)))
    return KernelFile(path, "arm64", (offset, size))


def _require_packed_image(path: Path, packed: bytes) -> None:
    """QEMU unpacks an arm64 Image from gzip by itself (hw/arm/boot.c), and nothing else."""
    try:
        head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, _HEADER)
    except zlib.error as error:
        raise BadInput(f"{path} cannot be unpacked", reason=error) from None
    form = _form(path, head)
    if (form.name, form.architecture) != ("Image", "arm64"):
        raise BadInput(f"{path} is packed with gzip", form=form, way_out="unpack it: zcat")


def _notes(file: BinaryIO) -> bytes:
    """The notes of a little-endian ELF file of 64 bits, as far as it has any."""
    header = _read_at(file, 0, 64)
    (table,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    notes = b""
    for number in range(min(count, _MOST_SEGMENTS)):
        kind, offset, length = struct.unpack_from("<I4xQ16xQ", _read_at(file, table + number * size, 56))
        if kind == _PT_NOTE:
            notes += _read_at(file, offset, min(length, _LONGEST_NOTES))
    return notes


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """So many bytes; zeros where the file has none."""
    file.seek(min(offset, file.seek(0, os.SEEK_END)))
    return file.read(length).ljust(length, b"\0")
