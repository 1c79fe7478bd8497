"""Which memory an x86 machine must have had: what its firmware told, as the kernel wrote it to its log.

/proc/vmcore has all of it above 1 MiB, but for what was kept aside for the capture kernel. Source:
e820__print_table(), e820__range_update() and e820__range_remove() in arch/x86/kernel/e820.c.
"""

import re
from collections.abc import Iterator, Sequence

from kdump_tests.crashkernel.reservation import parse_boot_log
from kdump_tests.errors import LabError

_USABLE = re.compile(r"\] BIOS-e820: \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\] usable$")
_CHANGED = re.compile(r"\] e820: (?:update|remove) \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]")
# The map is not the last word: mem= and memmap= change it, and memory for CMA is not told by address.
_OVERRULED = re.compile(r"user-defined physical RAM map|crashkernel=\S*,cma")
_LOW = 1 << 20  # kexec leaves out some of the first mebibyte, differently by version
_MAX_PIECES = 3200  # E820_MAX_ENTRIES with 1024 nodes; a log of lies could tell millions

Piece = tuple[int, int]
"""Bytes from the first to the second, which is excluded."""


def memory_that_was(log: Sequence[str]) -> tuple[Piece, ...]:
    """Pieces of memory that must be in a dump; none where the log does not tell."""
    if any(_OVERRULED.search(line) for line in log):
        return ()
    try:
        kept_aside = parse_boot_log("\n".join(line for line in log if "crashkernel" in line)).within
    except LabError:  # it tells of two different ones, or of one that cannot be
        return ()
    usable = list(_pieces(log, _USABLE))
    taken = sorted([*_pieces(log, _CHANGED), *kept_aside])
    if max(len(usable), len(taken)) > _MAX_PIECES:
        return ()
    return tuple(piece for start, end in usable for piece in _without(max(start, _LOW), end, taken))


def _pieces(log: Sequence[str], pattern: re.Pattern[str]) -> Iterator[Piece]:
    for line in log:
        if match := pattern.search(line):
            yield int(match[1], 16), int(match[2], 16) + 1


def _without(start: int, end: int, taken: Sequence[Piece]) -> Iterator[Piece]:
    for hole, behind in taken:
        if behind <= start or hole >= end:
            continue
        if start < hole:
            yield start, hole
        start = max(start, behind)
    if start < end:
        yield start, end
