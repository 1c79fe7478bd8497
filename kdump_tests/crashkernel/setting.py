"""The value of ``crashkernel=``, or several, read as the kernel's own parser reads them.

Grammar and words: kernel/crash_core.c of Linux 6.1, kernel/crash_reserve.c of 6.12 and, for ``,cma``, of
6.17 (35c18f2933c5). The kernel lets some slips pass without a word (``256M@`` reserves anywhere,
``0-:256Mx`` reserves 256M, ``M`` is 0); they are refused here, because whoever writes one means something
else.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NoReturn, TypeAlias, assert_never

from kdump_tests.errors import BadInput
from kdump_tests.sizes import format_size

# COMMAND_LINE_SIZE of x86, less the closing NUL (arch/x86/include/asm/setup.h).
LONGEST = 2047

_NAME = "crashkernel="
# As simple_strtoull() with base 0 under memparse(): a leading 0 means octal, so 010M is 8 MiB, and a
# digit that the base does not know ends the number.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_SHIFTS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}


class Suffix(StrEnum):
    """Where memory must lie: above or below 4 GiB, or where the running kernel may use it meanwhile."""

    HIGH = "high"
    LOW = "low"
    CMA = "cma"


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

    def __str__(self) -> str:
        return f"{','.join(map(str, self.ranges))}{_at(self.offset)}"


@dataclass(frozen=True)
class Suffixed:
    """``size,high``, ``size,low`` or ``size,cma``."""

    size: int
    suffix: Suffix

    def __str__(self) -> str:
        return f"{format_size(self.size)},{self.suffix}"


@dataclass(frozen=True)
class Auto:
    """``auto``: the kernel chooses. RHEL's kernels up to 8 know it; upstream never did."""

    def __str__(self) -> str:
        return "auto"


Single: TypeAlias = Simple | Ranges | Suffixed | Auto


@dataclass(frozen=True)
class Several:
    """More than one of them on a command line, in order: ``512M,high crashkernel=72M,low``."""

    settings: tuple[Single, ...]

    def __str__(self) -> str:
        return f" {_NAME}".join(map(str, self.settings))


Setting: TypeAlias = Single | Several


def singles(setting: Setting) -> tuple[Single, ...]:
    """Each value by itself, in order."""
    return setting.settings if isinstance(setting, Several) else (setting,)


def edges(setting: Setting) -> tuple[int, ...]:
    """Where the amount may change, in bytes of RAM, ascending."""
    ranges = [each for single in singles(setting) if isinstance(single, Ranges) for each in single.ranges]
    starts, ends = {range_.start for range_ in ranges}, {range_.end or 0 for range_ in ranges}
    return tuple(sorted((starts | ends) - {0}))


def enlarged(setting: Setting, by: int) -> Setting:
    """So many bytes more wherever something is kept aside, as distributions add for a driver or a feature.

    What lies low or in CMA stays as it is: it is there for DMA and for user space.

    Raises:
        BadInput: ``auto`` has no size to add to.
    """
    if not by:
        return setting
    match setting:
        case Several(settings=settings):
            return Several(tuple(_enlarged(each, by) for each in settings))
        case _:
            return _enlarged(setting, by)


def _enlarged(setting: Single, by: int) -> Single:
    match setting:
        case Simple(size=size) | Suffixed(size=size, suffix=Suffix.HIGH):
            return replace(setting, size=_more(size, by))
        case Suffixed():
            return setting
        case Ranges(ranges=ranges):
            more = tuple(replace(range_, size=_more(range_.size, by)) for range_ in ranges)
            return replace(setting, ranges=more)
        case Auto():
            raise BadInput("crashkernel=auto has no size to add to", way_out="a size, or a policy's ranges")
        case _:
            assert_never(setting)


def _more(size: int, by: int) -> int:
    return size + by if size else 0


def parse_setting(text: str) -> Setting:
    """What stands after ``crashkernel=``; str() of the result reads back as the same value.

    A further one is written as on a command line: ``512M,high crashkernel=72M,low``.

    Raises:
        BadInput: it is no such value; points at the character and says what a kernel would.
    """
    _check_characters(text)
    settings: list[Single] = []
    at = 0
    for number, word in enumerate(text.split(" ")):
        reader = _Reader(text, at, at + len(word))
        if number and not reader.take(_NAME):
            reader.refuse(f"a further value begins with {_NAME}", "nothing; it is another parameter")
        settings.append(_single(reader))
        at += len(word) + 1
    return settings[0] if len(settings) == 1 else Several(tuple(settings))


def _single(reader: "_Reader") -> Single:
    if reader.rest == "auto":
        return Auto()
    # The kernel's order: a known suffix at the end first, then any colon makes it ranges.
    for suffix in Suffix:
        if reader.rest.endswith(f",{suffix}"):
            return _suffixed(reader, suffix)
    return _ranges(reader) if ":" in reader.rest else _simple(reader)


def _suffixed(reader: "_Reader", suffix: Suffix) -> Suffixed:
    size = reader.memory_value("crashkernel: memory value expected")
    if reader.rest != f",{suffix}":
        reader.refuse(f"only a size may stand before ,{suffix}", reader.unrecognized)
    return Suffixed(size, suffix)


def _simple(reader: "_Reader") -> Simple:
    size = reader.memory_value("crashkernel: memory value expected")
    if reader.rest and not reader.rest.startswith("@"):
        reader.refuse("a size may be followed by @offset, ,high, ,low or ,cma", reader.unrecognized)
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


def _check_characters(text: str) -> None:
    if len(text) > LONGEST:
        raise BadInput(
            f"a crashkernel= value of {len(text)} characters is longer than a command line",
            limit=f"{LONGEST} characters",
        )
    stranger = re.search(r"[^ -~]", text)
    if stranger:
        _Reader(text, stranger.start(), len(text)).refuse("a value is printable ASCII", "")


class _Reader:
    """A place in the text that moves on to an end, and the error that points at it."""

    def __init__(self, text: str, at: int, end: int) -> None:
        self.text = text
        self.at = at
        self._end = end

    @property
    def rest(self) -> str:
        return self.text[self.at : self._end]

    @property
    def unrecognized(self) -> str:
        return f"crashkernel: unrecognized char: {self.rest[:1]}"

    def take(self, word: str) -> bool:
        found = self.rest.startswith(word)
        self.at += len(word) if found else 0
        return found

    def memory_value(self, kernel_says: str) -> int:
        number = _NUMBER.match(self.text, self.at, self._end)
        if number is None:
            lone_suffix = self.rest[:1].upper() in _SHIFTS
            self.refuse(
                "a memory size expected", "nothing; it takes this for 0" if lone_suffix else kernel_says
            )
        digits = number[0]
        suffix = self.rest[len(digits) : len(digits) + 1].upper()
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
