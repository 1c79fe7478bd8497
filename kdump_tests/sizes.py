"""Memory sizes as people and kernels write them: ``512M``, ``1G``, ``0x10000000``."""

import re

from kdump_tests.errors import BadInput

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
# As many digits as 64 bits hold. ASCII: the Kelvin sign is a K to Python otherwise.
_SIZE = re.compile(r"(0x[0-9a-f]{1,16}|[0-9]{1,20})([KMGTPE]?)", re.IGNORECASE | re.ASCII)

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


def parse_size(text: str) -> int:
    """Bytes of ``text``: a number with an optional suffix, each step 1024.

    As people mean it: decimal unless 0x stands first. (The kernel's memparse() reads 010M as octal.)

    Raises:
        BadInput: the text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{text!r} is not a memory size", way_out="a number with K, M, G or T: 512M, 2G")
    return int(match[1], 0 if match[1][:2].lower() == "0x" else 10) << _UNITS[match[2].upper()]


def round_up(size: int, step: int) -> int:
    """The smallest multiple of ``step`` that is not below ``size``."""
    return -(-size // step) * step


def format_size(size: int) -> str:
    """The shortest exact form that parse_size reads back: ``2G``, ``2047M``, ``1000``."""
    for suffix in "EPTGMK":
        unit = 1 << _UNITS[suffix]
        if size and size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)
