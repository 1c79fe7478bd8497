"""How much an upstream x86_64 kernel, 6.1 or later, sets aside for a ``crashkernel=`` value.

Read in kernel/crash_core.c and arch/x86/kernel/setup.c of Linux 6.1 and kernel/crash_reserve.c of 6.12,
and asked of Debian's 6.1 and 6.12 kernels under QEMU (see probe.py).
"""

from typing import assert_never

from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import Auto, Ranges, Setting, Simple, Suffix, Suffixed
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB, format_size

# parse_crashkernel_mem() rounds RAM up by this before it looks at a range: firmware keeps some for itself.
RAM_ROUNDING = 128 * MIB
# Where a reservation may begin on x86 (CRASH_ALIGN). Sizes are not rounded: 200000001 bytes are reserved
# as exactly that. An offset needs 1M only up to 6.1, and this much in 6.12.
CRASH_ALIGN = 16 * MIB
# What QEMU's q35 keeps below 4 GiB of a bigger machine's RAM; the rest lies above (hw/i386/pc_q35.c).
RAM_BELOW_4G = 2 * GIB
# Up to half of that fits below 4 GiB nearly wherever KASLR put the kernel. Above, chance decides: 1900M of
# 4 GiB once came below (6.1) and once above with 256 MiB of low memory (6.12).
SURELY_BELOW_4G = RAM_BELOW_4G // 2
# What comes on top, below 4 GiB, when the reservation lies above: max(swiotlb + 8M, 256M), and swiotlb has
# 64M unless it is told otherwise (crash_low_size_default(), arch/x86).
DEFAULT_LOW = 256 * MIB
# KASLR may put the kernel into the middle of what lies above 4 GiB, so one half of the rest must be enough.
_KERNEL = 256 * MIB


def expected_reservation(setting: Setting, memory: int) -> Reservation:
    """What a kernel on a machine of so many bytes of RAM reserves, if it finds that much in one piece.

    Raises:
        BadInput: the value leaves it to the kernel (``auto``) or to the machine's memory map.
    """
    size = _size(setting, memory)
    # 6.12 refuses this in parse_crashkernel(); 6.1 tries and finds no suitable area.
    if size == 0 or size >= memory:
        return Reservation(0)
    return Reservation(size, _low_memory(setting, size, memory))


def _size(setting: Setting, memory: int) -> int:
    match setting:
        case Simple(size=size):
            return size
        case Suffixed(size=size, suffix=suffix):
            return size if suffix is Suffix.HIGH else 0  # ,low means nothing without a ,high
        case Ranges(ranges=ranges):
            total = -(-memory // RAM_ROUNDING) * RAM_ROUNDING
            for each in ranges:
                if each.size >= total:
                    return 0  # "crashkernel: invalid size": the kernel reads no further
                if each.start <= total and (each.end is None or total < each.end):
                    return each.size
            return 0  # "crashkernel size resulted in zero bytes"
        case Auto():
            raise BadInput(
                "crashkernel=auto has no size of its own: the kernel chooses",
                way_out="boot the kernel and read what it says, or write a size: 256M",
            )
        case _:
            assert_never(setting)


def _low_memory(setting: Setting, size: int, memory: int) -> int:
    """What comes on top below 4 GiB, when the reservation must lie above wherever KASLR put the kernel.

    Raises:
        BadInput: the machine's memory map decides where it lies.
    """
    match setting:
        case Simple(offset=offset) | Ranges(offset=offset) if offset:
            _require_plain_place(setting, offset, size, memory)
            return 0
    high = isinstance(setting, Suffixed)
    if memory <= RAM_BELOW_4G or (size <= SURELY_BELOW_4G and not high):
        return 0
    must = high or size >= RAM_BELOW_4G
    if must and memory - RAM_BELOW_4G >= 2 * size + _KERNEL:
        return DEFAULT_LOW
    raise BadInput(
        f"crashkernel={setting} on {format_size(memory)} may lie above 4 GiB, where the kernel adds low "
        "memory: where it lies depends on the place that KASLR chose",
        way_out=f"at most {format_size(SURELY_BELOW_4G)} without ,high",
    )


def _require_plain_place(setting: Setting, offset: int, size: int, memory: int) -> None:
    if offset % CRASH_ALIGN:
        raise BadInput(
            f"what crashkernel={setting} reserves depends on the kernel's version",
            offset=f"{format_size(offset)}: Linux 6.1 wants a multiple of 1M, 6.12 of 16M",
            way_out="an offset that is a multiple of 16M, or none",
        )
    if offset + size > min(memory, RAM_BELOW_4G):
        raise BadInput(
            f"crashkernel={setting} reaches beyond the memory that surely lies there",
            surely_there=format_size(min(memory, RAM_BELOW_4G)),
            way_out="a lower offset, or none",
        )
