"""How much a kernel sets aside for a ``crashkernel=`` value.

Read in kernel/crash_core.c and arch/x86/kernel/setup.c of Linux 6.1 and kernel/crash_reserve.c of 6.12 and
6.17, and asked of Debian's 6.1, 6.12 and 7.x kernels under QEMU (see probe.py). What differs from kernel to
kernel stands in generations.toml, what from architecture to architecture in placement.py.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from kdump_tests.crashkernel.generation import Generation
from kdump_tests.crashkernel.placement import Fits, Placement, Room
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import Auto, Ranges, Setting, Simple, Suffix, Suffixed, singles
from kdump_tests.errors import BadInput
from kdump_tests.sizes import format_size, round_up

_PAGE = 4096


@dataclass(frozen=True)
class _Effective:
    """The last value of each kind on a command line: the others are never read."""

    plain: Simple | Ranges | Auto | Suffixed | None  # Suffixed: one whose suffix the kernel does not know
    high: Suffixed | None
    low: Suffixed | None
    cma: Suffixed | None


def expected_reservations(
    setting: Setting, memory: int, generation: Generation, placement: Placement
) -> tuple[Reservation, ...]:
    """What a kernel on a machine of so many bytes of RAM may reserve; several where chance decides.

    Chance: where KASLR put the kernel, and how much of the rest is free in one piece. Where a policy's sizes
    fit easily, that leaves one.

    Raises:
        BadInput: the value leaves it to the kernel (``auto``), or asks for so much ``,cma`` that it may
            come in pieces.
    """
    effective = _effective(setting, generation)
    main, size = _main(effective, memory, generation)
    if main is None or size == 0:
        return (Reservation(0),)
    size = round_up(size, generation.size_align)
    # A size that is not below the RAM fits nowhere: up to 6.6 the kernel tries, then its parser refuses it.
    room = Room(memory, placement)
    if isinstance(main, Simple | Ranges) and main.offset:
        # "crashkernel reservation failed - memory is in use", whether it is or not.
        aligned = main.offset % (generation.offset_align or placement.align) == 0
        fits = room.at(main.offset, size) if aligned else Fits.NEVER
        outcomes = _tried((fits, (Reservation(size),)))
    else:
        low = _low_memory(effective, main, generation, placement)
        below = (room.below(size), (Reservation(size),))
        # Without its low memory the kernel gives back what lies above, and tries no further.
        above = (room.above(size), _tried((room.below(low), (Reservation(size, low),))))
        if isinstance(main, Suffixed):
            outcomes = _tried(above, below)
        else:
            outcomes = _tried(below, above) if generation.plain_goes_above else _tried(below)
    if effective.cma is None or not placement.has_cma:
        return outcomes
    return _with_cma(outcomes, round_up(effective.cma.size, _PAGE), room)


def _with_cma(outcomes: tuple[Reservation, ...], size: int, room: Room) -> tuple[Reservation, ...]:
    """With what the running kernel may use meanwhile; there is none beside nothing.

    Where it is not free in one piece, reserve_crashkernel_cma() of kernel/crash_reserve.c takes up to four,
    halving what it asks for each time that there is none: how much that comes to, the holes decide that the
    kernel, its initrd and the firmware leave.
    """
    for each in outcomes:
        together = each.total + size
        if each.main and Fits.SURELY not in (room.below(together), room.above(together)):
            raise BadInput(
                f"{format_size(size)},cma may not be free in one piece: the kernel then takes smaller ones"
            )
    return tuple(replace(each, cma=size) if each.main else each for each in outcomes)


def _tried(*places: tuple[Fits, tuple[Reservation, ...]]) -> tuple[Reservation, ...]:
    """What may come of trying one place after the other: nothing, if none is sure to do."""
    outcomes: list[Reservation] = []
    for fits, found in places:
        if fits is not Fits.NEVER:
            outcomes += found
        if fits is Fits.SURELY:
            return tuple(dict.fromkeys(outcomes))
    return tuple(dict.fromkeys((*outcomes, Reservation(0))))


def _effective(setting: Setting, generation: Generation) -> _Effective:
    known = [suffix for suffix in Suffix if suffix is not Suffix.CMA or generation.knows_cma]
    suffixed = [each for each in singles(setting) if isinstance(each, Suffixed) and each.suffix in known]
    plain = [each for each in singles(setting) if each not in suffixed]
    last = {each.suffix: each for each in suffixed}
    return _Effective(
        plain[-1] if plain else None, last.get(Suffix.HIGH), last.get(Suffix.LOW), last.get(Suffix.CMA)
    )


def _main(
    effective: _Effective, memory: int, generation: Generation
) -> tuple[Simple | Ranges | Suffixed | None, int]:
    """The value that decides, and the size that it asks for."""
    plain = effective.plain
    size = 0
    match plain:
        case Simple():
            size = plain.size
        case Ranges():
            size = _of_ranges(plain, memory, generation)
        case Auto() if generation.knows_auto:
            raise BadInput(
                "crashkernel=auto has no size of its own: the kernel chooses",
                way_out="boot the kernel and read what it says, or write a size: 256M",
            )
        case Auto() | Suffixed() | None:  # "memory value expected", "unrecognized char: ,"
            pass
        case _:
            assert_never(plain)
    if isinstance(plain, Simple | Ranges) and size:
        return plain, size
    looked_for = generation.knows_high and (plain is None or generation.nothing_to_high)
    high = effective.high if looked_for else None
    return high, high.size if high else 0


def _of_ranges(setting: Ranges, memory: int, generation: Generation) -> int:
    total = round_up(memory, generation.ram_rounding)
    for each in setting.ranges:
        if each.size >= total:
            return 0  # "crashkernel: invalid size": the kernel reads no further
        if each.start <= total and (each.end is None or total < each.end):
            return each.size
    return 0  # "crashkernel size resulted in zero bytes"


def _low_memory(
    effective: _Effective, main: Simple | Ranges | Suffixed, generation: Generation, placement: Placement
) -> int:
    """What comes on top below 4 GiB, when the reservation lies above."""
    if effective.low is not None and (isinstance(main, Suffixed) or generation.low_for_all):
        return effective.low.size
    return placement.default_low if generation.high_adds_low else 0
