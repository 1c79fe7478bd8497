"""The kernel's log, out of its memory: the lockless ring of Linux 5.10 and later.

Source: kernel/printk/printk_ringbuffer.{h,c}; the order of steps is that of scripts/gdb/linux/dmesg.py and
makedumpfile's printk.c. Every structure's layout comes from VMCOREINFO. 64-bit little-endian kernels.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.text import cost, stamped
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

Read = Callable[[int, int], bytes]
"""Memory of the crashed kernel: virtual address and size in bytes to exactly that many bytes, or a Flaw."""

_ID_SIZE = 8  # a text block starts with the ID (unsigned long) of the record that owns it
_ID_MASK = (1 << 62) - 1  # the two bits above are the record's state
_COMMITTED, _FINALIZED = 1, 2  # the states in which a record has text: 0 is being written, 3 is free
_EMPTY_LINE = (3, 3)  # a record that needs no block: NO_LPOS, since 6.12 EMPTY_LINE_LPOS
_MAX_COUNT_BITS = 26  # log_buf_len is at most 2 GiB (LOG_BUF_LEN_MAX), 32 bytes a record (PRB_AVGBITS)
_MAX_SIZE_BITS = 31
_MAX_LOG = 64 << 20  # bytes; a ring of lies could repeat one text for each of its records
_AT_ONCE = 512  # records read together

_LONG, _INT, _SHORT = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<H")


@dataclass(frozen=True)
class _Ring:
    """Where the three arrays are. ``tail`` and ``head`` are the IDs of the first and the last record."""

    descriptors: int
    infos: int
    count: int
    tail: int
    head: int
    text: int
    text_size: int

    @classmethod
    def read(cls, read: Read, vmcoreinfo: Vmcoreinfo) -> Self:
        (address,) = _LONG.unpack(read(vmcoreinfo.symbol("prb"), _LONG.size))
        records = address + vmcoreinfo.offset("printk_ringbuffer.desc_ring")
        text = address + vmcoreinfo.offset("printk_ringbuffer.text_data_ring")

        def number(form: struct.Struct, ring: int, *members: str) -> int:
            place = ring + sum(vmcoreinfo.offset(member) for member in members)
            return int(form.unpack(read(place, form.size))[0])

        count_bits = number(_INT, records, "prb_desc_ring.count_bits")
        size_bits = number(_INT, text, "prb_data_ring.size_bits")
        if count_bits > _MAX_COUNT_BITS or size_bits > _MAX_SIZE_BITS:
            raise Flaw(f"the printk ring claims 2^{count_bits} records in 2^{size_bits} bytes")
        return cls(
            descriptors=number(_LONG, records, "prb_desc_ring.descs"),
            infos=number(_LONG, records, "prb_desc_ring.infos"),
            count=1 << count_bits,
            tail=number(_LONG, records, "prb_desc_ring.tail_id", "atomic_long_t.counter"),
            head=number(_LONG, records, "prb_desc_ring.head_id", "atomic_long_t.counter"),
            text=number(_LONG, text, "prb_data_ring.data"),
            text_size=1 << size_bits,
        )

    def runs(self) -> Iterator[range]:
        """The IDs from tail to head, in pieces that do not wrap around the end of the arrays."""
        left = ((self.head - self.tail) & _ID_MASK) + 1
        if left > self.count:
            raise Flaw(f"the printk ring claims {left} records and has room for {self.count}")
        first = self.tail & _ID_MASK
        while left:
            size = min(left, _AT_ONCE, self.count - first % self.count)
            yield range(first, first + size)
            first, left = (first + size) & _ID_MASK, left - size


def kernel_log(read: Read, vmcoreinfo: Vmcoreinfo) -> Iterator[str]:
    r"""The lines of the log as dmesg prints them: ``[  136.170362] sysrq: Trigger a crash``.

    A record of several lines has its time before each. What cannot be printed is written ``\x1b``.

    Raises:
        Flaw: VMCOREINFO describes no ring, or memory does not hold what it describes.
    """
    ring = _Ring.read(read, vmcoreinfo)
    descriptor, info = vmcoreinfo.struct_size("prb_desc"), vmcoreinfo.struct_size("printk_info")
    state_at = vmcoreinfo.offset("prb_desc.state_var") + vmcoreinfo.offset("atomic_long_t.counter")
    block_at = vmcoreinfo.offset("prb_desc.text_blk_lpos")
    begin_at = block_at + vmcoreinfo.offset("prb_data_blk_lpos.begin")
    next_at = block_at + vmcoreinfo.offset("prb_data_blk_lpos.next")
    time_at, length_at = vmcoreinfo.offset("printk_info.ts_nsec"), vmcoreinfo.offset("printk_info.text_len")
    if max(state_at, begin_at, next_at) + 8 > descriptor or max(time_at, length_at) + 8 > info:
        raise Flaw("its VMCOREINFO describes members of the printk ring outside their structures")

    size = 0
    for run in ring.runs():
        slot = run.start % ring.count
        descriptors = read(ring.descriptors + slot * descriptor, len(run) * descriptor)
        infos = read(ring.infos + slot * info, len(run) * info)
        for index, record in enumerate(run):
            here, there = index * descriptor, index * info
            (state,) = _LONG.unpack_from(descriptors, here + state_at)
            if state & _ID_MASK != record or state >> 62 not in {_COMMITTED, _FINALIZED}:
                continue
            (begin,) = _LONG.unpack_from(descriptors, here + begin_at)
            (next_,) = _LONG.unpack_from(descriptors, here + next_at)
            (length,) = _SHORT.unpack_from(infos, there + length_at)
            text = _text(read, ring, record, begin, next_, length)
            if text is None:
                continue
            (time,) = _LONG.unpack_from(infos, there + time_at)
            size += cost(text)
            if size > _MAX_LOG:
                raise Flaw(f"its kernel log is longer than {_MAX_LOG} bytes")
            yield from stamped(time, text)


def seconds_since_boot(line: str) -> float:
    """The time of a line as kernel_log() gives it.

    Raises:
        ValueError: it has none.
    """
    return float(line.partition("]")[0].removeprefix("["))


def _text(read: Read, ring: _Ring, record: int, begin: int, next_: int, length: int) -> str | None:
    """The text of one record, None if its block was lost. Positions grow for ever; the ring wraps them."""
    if (begin, next_) == _EMPTY_LINE:
        return ""
    size = next_ - begin
    if begin // ring.text_size != (next_ - 1) // ring.text_size:
        # A block is never cut in two: one that does not fit before the end stands at the start,
        # with a copy of its ID where it would have begun.
        begin, size = 0, next_ % ring.text_size
    if size < _ID_SIZE:
        return None  # FAILED_LPOS: there was no room for the text
    block = read(ring.text + begin % ring.text_size, min(size, _ID_SIZE + length))
    if _LONG.unpack_from(block)[0] & _ID_MASK != record:
        return None  # the block was taken by a later record
    return block[_ID_SIZE:].decode("utf-8", "backslashreplace")
