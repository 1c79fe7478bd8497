"""What a module must know of its kernel, read out of one that came with it.

Headers of the very kernel are seldom at hand, and its build tools run where its own libc does. A module that
the kernel loaded holds all that is asked for: the version it must name, and the shape of struct module.
"""

import lzma
import struct
import zlib
from dataclasses import dataclass

from kdump_tests.errors import LabError

# A module's own size, and what one may unpack to.
_LARGEST_MODULE = 64 << 20
_THIS_MODULE = ".gnu.linkonce.this_module"
# struct modversion_info in include/linux/module.h.
_VERSION = struct.Struct("<Q56s")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_RELOCATION = struct.Struct("<QQq")
_ELF_X86_64 = b"\x7fELF\x02\x01\x01"


@dataclass(frozen=True)
class Donor:
    """Offsets and sizes in bytes of struct module, and what is compared as a module is loaded."""

    vermagic: str
    layout_version: int  # of module_layout; 0 where the kernel keeps no versions (CONFIG_MODVERSIONS)
    module_size: int
    name_offset: int
    init_offset: int


def read_donor(content: bytes) -> Donor:
    """What a module's file tells, packed or not.

    Raises:
        LabError: it is no module of x86_64, or packed in an unknown way.
    """
    try:
        return _read(_Sections(_unpacked(content)))
    except (struct.error, LookupError, ValueError, OverflowError, lzma.LZMAError, zlib.error) as error:
        raise LabError("a module of the guest's cannot be read as one", reason=repr(error)) from None


def _unpacked(content: bytes) -> bytes:
    if content.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor(memlimit=_LARGEST_MODULE).decompress(content, _LARGEST_MODULE)
    if content.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, _LARGEST_MODULE)
    return content


class _Sections:
    """The sections of a relocatable file by their names, and whose name a place in one bears."""

    def __init__(self, file: bytes) -> None:
        if not file.startswith(_ELF_X86_64):
            raise ValueError(f"it starts with {file[:6]!r}")
        self._file = file
        (start,) = struct.unpack_from("<Q", file, 0x28)
        count, names = struct.unpack_from("<HH", file, 0x3C)
        self._headers = [_SECTION.unpack_from(file, start + 64 * number) for number in range(count)]
        text = self._content(self._headers[names])
        self._by_name = {_string(text, header[0]): header for header in self._headers}

    def __getitem__(self, name: str) -> bytes:
        return self._content(self._by_name[name])

    def get(self, name: str) -> bytes:
        return self[name] if name in self._by_name else b""

    def relocations(self, name: str) -> dict[str, int]:
        """Where in a section the address of each symbol goes."""
        header = self._by_name[f".rela{name}"]
        symbols = self._headers[header[6]]
        table, texts = self._content(symbols), self._content(self._headers[symbols[6]])
        places = {}
        for offset, info, _ in _RELOCATION.iter_unpack(self._content(header)):
            (symbol,) = struct.unpack_from("<I", table, 24 * (info >> 32))
            places[_string(texts, symbol)] = offset
        return places

    def _content(self, header: tuple[int, ...]) -> bytes:
        offset, size = header[4], header[5]
        if offset + size > len(self._file):
            raise ValueError("a section lies beyond its end")
        return self._file[offset : offset + size]


def _string(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()


def _read(sections: _Sections) -> Donor:
    told = dict(each.partition("=")[::2] for each in sections[".modinfo"].decode().split("\0"))
    this_module = sections[_THIS_MODULE]
    versions = sections.get("__versions")
    layout = (crc for crc, name in _VERSION.iter_unpack(versions) if name.rstrip(b"\0") == b"module_layout")
    return Donor(
        vermagic=told["vermagic"],
        layout_version=next(layout, 0),
        module_size=len(this_module),
        name_offset=this_module.index(told["name"].encode() + b"\0"),
        init_offset=sections.relocations(_THIS_MODULE)["init_module"],
    )
