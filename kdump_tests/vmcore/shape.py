"""What a reader of a dump format finds: the format's own facts, and the first flaw."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

# makedumpfile.h, DL_EXCLUDE_*: the bits of a dump level, each a kind of page that is left out.
_ZERO_PAGES = 0x01
_LEFT_OUT = {
    _ZERO_PAGES: "zero pages",
    0x02: "page cache",
    0x04: "private page cache",
    0x08: "user data",
    0x10: "free pages",
}


class Format(StrEnum):
    """How the image is laid out, once it is reassembled."""

    ELF = "elf"
    KDUMP_COMPRESSED = "kdump-compressed"


@dataclass(frozen=True)
class Part:
    """One file of a dump that ``makedumpfile --split`` wrote: the page frames it has to hold."""

    first: int
    end: int  # excluded


@dataclass(frozen=True)
class Memory:
    """Of how much physical memory the dump is, in pages.

    ``zeros`` are pages of which only is told that they hold zeros; None where this cannot be told.
    ``left_out`` are neither stored nor zeros.
    """

    page_size: int  # in bytes
    covered: int
    stored: int
    zeros: int | None
    left_out: int


@dataclass(frozen=True)
class FrameSets:
    """Of which page frames below ``max_mapnr`` a dump is: asked for frames that follow each other.

    ``of`` answers with those that exist and those that are stored, as bits: the first frame is bit 0.
    """

    max_mapnr: int
    of: Callable[[range], tuple[int, int]]


@dataclass(frozen=True)
class Shape:
    """A dump whose headers make sense. ``flaw`` is None when every byte they promise was found."""

    format: Format
    compression: tuple[str, ...]
    vmcoreinfo: Vmcoreinfo  # empty when it cannot be read
    flaw: Flaw | None
    proof: tuple[str, ...]  # what was found to be so, a clause each; up to the flaw, if there is one
    memory: Memory | None = None  # None when it cannot be told
    dump_level: int | None = None  # None where the format does not tell it
    part: Part | None = None  # None when the dump is in one piece

    @property
    def leaves_out_zeros(self) -> bool:
        """Whether a page of zeros never is stored for itself."""
        return bool((self.dump_level or 0) & _ZERO_PAGES)


def kinds_left_out(dump_level: int) -> tuple[str, ...]:
    """The kinds of pages that a dump level leaves out."""
    return tuple(kind for bit, kind in _LEFT_OUT.items() if dump_level & bit)
