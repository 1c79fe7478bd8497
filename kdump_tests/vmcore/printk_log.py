"""The kernel's log, out of its memory: the records of Linux 3.5 to 5.9, each behind the one before.

Source: kernel/printk/printk.c of 5.9 (struct printk_log, log_next()); up to 3.10 VMCOREINFO calls the
structure "log" (62e32ac3505a). Its layout comes from VMCOREINFO. 64-bit little-endian kernels.
"""

import struct
from collections.abc import Iterator

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.printk import Read
from kdump_tests.vmcore.text import cost, stamped
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_MAX_LOG = 64 << 20  # bytes of the buffer; log_buf_len= is of a few MiB where somebody sets it

_LONG, _INT, _SHORT = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<H")


def describes_log(vmcoreinfo: Vmcoreinfo) -> bool:
    """Whether the kernel is one of those."""
    return "SYMBOL(log_first_idx)" in vmcoreinfo


def printk_log(read: Read, vmcoreinfo: Vmcoreinfo) -> Iterator[str]:
    """The lines of the log, as printk.kernel_log() gives them.

    Raises:
        Flaw: VMCOREINFO does not describe the records, or memory does not hold what it describes.
    """
    name = "printk_log" if "SIZE(printk_log)" in vmcoreinfo else "log"
    record = vmcoreinfo.struct_size(name)
    time_at, size_at, text_at = (
        vmcoreinfo.offset(f"{name}.{field}") for field in ("ts_nsec", "len", "text_len")
    )
    if time_at + _LONG.size > record or max(size_at, text_at) + _SHORT.size > record:
        raise Flaw("its VMCOREINFO describes members of a log record outside it")

    def number(form: struct.Struct, symbol: str) -> int:
        return int(form.unpack(read(vmcoreinfo.symbol(symbol), form.size))[0])

    address, size = number(_LONG, "log_buf"), number(_INT, "log_buf_len")
    first, end = number(_INT, "log_first_idx"), number(_INT, "log_next_idx")
    if not max(first, end) <= size <= _MAX_LOG:
        raise Flaw(f"its kernel log claims the records from {first} to {end} of {size} bytes")
    log = read(address, size)
    at, passed, told = first, 0, 0
    while at != end:
        if at + record > size:
            raise Flaw(f"its kernel log has a record at {at} of {size} bytes")
        (length,) = _SHORT.unpack_from(log, at + size_at)
        if not length and at:
            passed, at = passed + size - at, 0  # what is left before the end is too small for the next
            continue
        (text,) = _SHORT.unpack_from(log, at + text_at)
        if length < record + text or at + length > size or passed + length > size:
            raise Flaw(f"its kernel log has a record of {length} bytes at {at} of {size}")
        (time,) = _LONG.unpack_from(log, at + time_at)
        words = log[at + record : at + record + text].decode("utf-8", "backslashreplace")
        told += cost(words)
        if told > _MAX_LOG:
            raise Flaw(f"its kernel log is longer than {_MAX_LOG} bytes")
        yield from stamped(time, words)
        at, passed = at + length, passed + length
