"""What a reader of a dump format finds: the format's own facts, and the first flaw."""

from dataclasses import dataclass
from enum import StrEnum

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo


class Format(StrEnum):
    """How the image is laid out, once it is reassembled."""

    ELF = "elf"
    KDUMP_COMPRESSED = "kdump-compressed"


@dataclass(frozen=True)
class Shape:
    """A dump whose headers make sense. ``flaw`` is None when every byte they promise was found."""

    format: Format
    compression: tuple[str, ...]
    vmcoreinfo: Vmcoreinfo  # empty when it cannot be read
    flaw: Flaw | None
