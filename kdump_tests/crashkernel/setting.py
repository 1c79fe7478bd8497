"""The value of ``crashkernel=``, read as the kernel's own parser reads it.

Grammar and words: kernel/crash_core.c of Linux 6.1, kernel/crash_reserve.c of 6.12. The kernel lets some
slips pass without a word (``256M@`` reserves anywhere, ``0-:256Mx`` reserves 256M, ``M`` is 0); they are
refused here, because whoever writes one means something else.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, TypeAlias

from kdump_tests.errors import BadInput
from kdump_tests.sizes import format_size

# COMMAND_LINE_SIZE of x86, less the closing NUL (arch/x86/include/asm/setup.h).
LONGEST = 2047

# As simple_strtoull() with base 0 under memparse(): a leading 0 means octal, so 010M is 8 MiB, and a
# digit that the base does not know ends the number.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_SHIFTS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}


class Suffix(StrEnum):
    """Where memory must lie: above or below 4 GiB."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True)
class Simple:
    """``size[@offset]``: the same amount on every machine. Offset 0 lets the kernel find a place."""

    size: int
    offset: int = 0

    def __str__(self) -> str:
        return f"{format_size(self.size)}{_at(self.offset)}"


@dataclass(frozen=True)
class Range:
    """``start-[end]:size``: the amount for a machine whose RAM is from start to below end."""

    start: int
    end: int | None
    size: int

    def __str__(self) -> str:
        end = "" if self.end is None else format_size(self.end)
        return f"{format_size(self.start)}-{end}:{format_size(self.size)}"


@dataclass(frozen=True)
class Ranges:
    """``range[,range…][@offset]``: an amount that depends on the RAM."""

    ranges: tuple[Range, ...]
    offset: int = 0

    @property
    def edges(self) -> tuple[int, ...]:
        """Where the amount may change, in bytes of RAM, ascending."""
        ends = {range_.start for range_ in self.ranges} | {range_.end or 0 for range_ in self.ranges}
        return tuple(sorted(ends - {0}))

    def __str__(self) -> str:
        return f"{','.join(map(str, self.ranges))}{_at(self.offset)}"


@dataclass(frozen=True)
class Suffixed:
    """``size,high`` or ``size,low``."""

    size: int
    suffix: Suffix

    def __str__(self) -> str:
        return f"{format_size(self.size)},{self.suffix}"


@dataclass(frozen=True)
class Auto:
    """``auto``: the kernel chooses. RHEL's kernels up to 8 know it; upstream never did."""

    def __str__(self) -> str:
        return "auto"


Setting: TypeAlias = Simple | Ranges | Suffixed | Auto


def parse_setting(text: str) -> Setting:
    """What stands after ``crashkernel=``; str() of the result reads back as the same value.

    Raises:
        BadInput: it is no such value; points at the character and says what a kernel would.
    """
    reader = _Reader(text)
    reader.check_characters()
    if text == "auto":
        return Auto()
    # The kernel's order: a known suffix at the end first, then any colon makes it ranges.
    for suffix in Suffix:
        if text.endswith(f",{suffix}"):
            return _suffixed(reader, suffix)
    return _ranges(reader) if ":" in text else _simple(reader)


def _suffixed(reader: "_Reader", suffix: Suffix) -> Suffixed:
    size = reader.memory_value("crashkernel: memory value expected")
    if reader.rest != f",{suffix}":
        reader.refuse(f"only a size may stand before ,{suffix}", reader.unrecognized)
    return Suffixed(size, suffix)


def _simple(reader: "_Reader") -> Simple:
    size = reader.memory_value("crashkernel: memory value expected")
    if reader.rest and not reader.rest.startswith("@"):
        reader.refuse("a size may be followed by @offset, ,high or ,low", reader.unrecognized)
    return Simple(size, _offset(reader, "nothing; it takes the offset for 0"))


def _ranges(reader: "_Reader") -> Ranges:
    ranges = [_range(reader)]
    while reader.take(","):
        ranges.append(_range(reader))
    if reader.rest and not reader.rest.startswith("@"):
        reader.refuse("',' or '@' expected after a range", "nothing; it ignores what follows")
    return Ranges(tuple(ranges), _offset(reader, "crashkernel: Memory value expected after '@'"))


def _range(reader: "_Reader") -> Range:
    expected = "crashkernel: Memory value expected"
    start = reader.memory_value(expected)
    if not reader.take("-"):
        reader.refuse("'-' expected after the start of a range", "crashkernel: '-' expected")
    end = None
    if not reader.rest.startswith(":"):
        end_at = reader.at
        end = reader.memory_value(expected)
        if end <= start:
            reader.at = end_at
            reader.refuse("a range must end above its start", "crashkernel: end <= start")
    if not reader.take(":"):
        reader.refuse("':' expected after the end of a range", "crashkernel: ':' expected")
    return Range(start, end, reader.memory_value(expected))


def _offset(reader: "_Reader", kernel_says: str) -> int:
    if not reader.take("@"):
        return 0
    offset = reader.memory_value(kernel_says)
    if reader.rest:
        reader.refuse("nothing may follow the offset", "nothing; it ignores what follows")
    return offset


def _at(offset: int) -> str:
    return f"@{format_size(offset)}" if offset else ""


class _Reader:
    """A place in the text that moves on, and the error that points at it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    @property
    def unrecognized(self) -> str:
        return f"crashkernel: unrecognized char: {self.rest[:1]}"

    def check_characters(self) -> None:
        if len(self.text) > LONGEST:
            raise BadInput(
                f"a crashkernel= value of {len(self.text)} characters is longer than a command line",
                limit=f"{LONGEST} characters",
            )
        stranger = re.search(r"[^!-~]", self.text)
        if stranger:
            self.at = stranger.start()
            self.refuse("a value is printable ASCII and holds no space", "")

    def take(self, character: str) -> bool:
        found = self.rest.startswith(character)
        self.at += found
        return found

    def memory_value(self, kernel_says: str) -> int:
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            lone_suffix = self.rest[:1].upper() in _SHIFTS
            self.refuse(
                "a memory size expected", "nothing; it takes this for 0" if lone_suffix else kernel_says
            )
        digits = number[0]
        suffix = self.text[number.end() : number.end() + 1].upper()
        value = _integer(digits) << _SHIFTS.get(suffix, 0)
        if value >= 1 << 64:
            self.refuse("this size does not fit into 64 bits", "nothing; it drops the upper bits")
        self.at = number.end() + (suffix in _SHIFTS)
        return value

    def refuse(self, what: str, kernel_says: str) -> NoReturn:
        shown = re.sub(r"[^ -~]", "?", self.text)
        raise BadInput(
            f"this is no crashkernel= value: {what}",
            value=f"{shown}\n{' ' * self.at}^",
            kernel_says=kernel_says,
        )


def _integer(digits: str) -> int:
    if digits[:2] in {"0x", "0X"}:
        return int(digits, 16)
    return int(digits, 8 if digits.startswith("0") else 10)
