"""VMCOREINFO: what the crashed kernel says of itself, for tools that have no debug information.

Source: Documentation/admin-guide/kdump/vmcoreinfo.rst; written by kernel/crash_core.c (since 6.11
kernel/vmcore_info.c).
"""

from collections.abc import Iterator, Mapping
from typing import Self

from kdump_tests.vmcore.flaw import Flaw

MAX_SIZE = 1 << 20  # the kernel keeps one page for it, at most 64 KiB
_MAX_STRUCT = 1 << 20
PAGE_SIZES = frozenset(1 << bits for bits in range(12, 17))  # 4 KiB to 64 KiB, as Linux can be built


class Vmcoreinfo(Mapping[str, str]):
    """The lines ``key=value``, in their order. Keys are as the kernel writes them: ``SIZE(printk_info)``."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the note's content.

        Raises:
            Flaw: it is not the text that a kernel writes.
        """
        if b"\0" in raw or not raw.endswith(b"\n"):
            raise Flaw("its VMCOREINFO is damaged: not whole lines of text")
        lines = raw.decode("utf-8", "backslashreplace").splitlines()
        found = cls({key: value for key, sign, value in (line.partition("=") for line in lines) if sign})
        if not found.get("OSRELEASE") or "PAGESIZE" not in found:
            raise Flaw("its VMCOREINFO is damaged: it names no kernel release or no page size")
        if found.page_size not in PAGE_SIZES:
            raise Flaw(f"its VMCOREINFO is damaged: pages of {found.page_size} bytes")
        return found

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<VMCOREINFO of {self.get('OSRELEASE', 'no kernel')}, {len(self)} lines>"

    @property
    def page_size(self) -> int:
        """In bytes."""
        return self._number("PAGESIZE", 10, _MAX_STRUCT)

    @property
    def is_plain_x86_64(self) -> bool:
        """Whether memory that cannot be read is the dump's fault; elsewhere it may be the tool's."""
        # phys_base is x86_64's alone; sme_mask is not 0 where memory is encrypted.
        return "NUMBER(phys_base)" in self and self.get("NUMBER(sme_mask)", "0") == "0"

    def symbol(self, name: str) -> int:
        """The virtual address of a kernel symbol, KASLR included."""
        return self._number(f"SYMBOL({name})", 16, 1 << 64)

    def struct_size(self, name: str) -> int:
        """The size of a kernel structure in bytes."""
        return self._number(f"SIZE({name})", 10, _MAX_STRUCT)

    def offset(self, member: str) -> int:
        """The offset in bytes of ``struct.member``."""
        return self._number(f"OFFSET({member})", 10, _MAX_STRUCT)

    def length(self, array: str) -> int:
        """How many elements an array has."""
        return self._number(f"LENGTH({array})", 10, 1 << 32)

    def number(self, name: str) -> int:
        """A constant of the kernel's. It may be negative, as the values of page._mapcount are."""
        return self._number(f"NUMBER({name})", 10, 1 << 63, least=-1 << 63)

    def _number(self, key: str, base: int, limit: int, least: int = 0) -> int:
        text = self.get(key)
        if text is None:
            raise Flaw(f"its VMCOREINFO has no {key}")
        try:
            number = int(text, base)
        except ValueError as error:
            raise Flaw(f"its VMCOREINFO says {key}={text[:40]}, which is no number") from error
        if not least <= number < limit:
            raise Flaw(f"its VMCOREINFO says {key}={text[:40]}, which cannot be")
        return number
