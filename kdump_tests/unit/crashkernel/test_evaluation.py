"""How much a kernel sets aside. The numbers were read off kernels under QEMU, or stand in their sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.evaluation import expected_reservation
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB, parse_size

LADDER = "0-2G:192M,2G-6G:256M,6G-8G:512M,8G-64G:1G,64G-:2G"
RHEL_8_0 = "1G-64G:160M,64G-1T:256M,1T-:512M"
RHEL_8_3 = "1G-4G:160M,4G-64G:192M,64G-1T:256M,1T-:512M"


def main(value: str, memory: str) -> int:
    """Main bytes, where all is well below 4 GiB."""
    reservation = expected_reservation(parse_setting(value), parse_size(memory))
    assert reservation.low == 0
    return reservation.main


@pytest.mark.parametrize(
    ("value", "memory", "size"),
    [
        # Debian's 6.1 and 6.12 under QEMU, all of them.
        (LADDER, "1G", "192M"),
        (LADDER, "2047M", "256M"),
        (LADDER, "2G", "256M"),
        (LADDER, "3G", "256M"),
        (LADDER, "6G", "512M"),
        (LADDER, "8G", "1G"),
        (RHEL_8_0, "512M", "0"),
        (RHEL_8_0, "1G", "160M"),
        (RHEL_8_0, "8G", "160M"),
        (RHEL_8_0, "64G", "256M"),
        (RHEL_8_3, "2G", "160M"),
        (RHEL_8_3, "4G", "192M"),
        (RHEL_8_3, "1T", "512M"),
        ("384M-:128M", "256M", "0"),
        ("384M-:128M", "1G", "128M"),
        # The kernel rounds RAM up to 128 MiB before it looks: a boundary comes one step early.
        (LADDER, "1920M", "192M"),
        (LADDER, "1921M", "256M"),
        ("2G-:256M", "1920M", "0"),
        ("2G-:256M", "1921M", "256M"),
        ("0-2G:192M", "2047M", "0"),
    ],
)
def test_range_that_holds_the_memory_decides(value: str, memory: str, size: str) -> None:
    assert main(value, memory) == parse_size(size)


def test_first_range_that_matches_wins() -> None:
    assert main("0-4G:128M,0-:256M", "1G") == 128 * MIB
    assert main("0-:256M,0-4G:128M", "1G") == 256 * MIB


def test_size_before_the_match_that_exceeds_the_memory_spoils_all() -> None:
    # "crashkernel: invalid size" on 6.1 and 6.12; the other way round the kernel never reads that far.
    assert main("64G-:2G,0-2G:192M", "1G") == 0
    assert main("64G-:1G,0-2G:192M", "1G") == 0
    assert main("0-2G:192M,64G-:2G", "1G") == 192 * MIB


@pytest.mark.parametrize(
    ("value", "memory", "size"),
    [
        ("256M", "1G", 256 * MIB),
        # No rounding to the 16M that a base is aligned to: 6.12 told of 0x34000000 - 0x3febc201.
        ("200000001", "1G", 200000001),
        ("010M", "2G", 8 * MIB),
        ("0", "1G", 0),
        ("1G", "1G", 0),
        ("2G", "1G", 0),
        ("0-:1000M", "1000M", 0),
        ("256M@16M", "2G", 256 * MIB),
        ("0-:256M@32M", "2G", 256 * MIB),
        ("256M,low", "1G", 0),
        ("256M,high", "1G", 256 * MIB),
        ("256M,high", "256M", 0),
    ],
)
def test_plain_size_is_kept_to_the_byte_when_it_is_below_the_memory(
    value: str, memory: str, size: int
) -> None:
    assert main(value, memory) == size


def test_auto_has_no_size() -> None:
    with pytest.raises(BadInput, match="the kernel chooses"):
        main("auto", "4G")


@pytest.mark.parametrize(
    ("value", "memory", "why"),
    [
        # 6.1 reserved it, 6.12 said "memory is in use".
        ("256M@17M", "2G", "depends on the kernel's version"),
        ("0-:256M@17M", "2G", "depends on the kernel's version"),
        ("256M@1G", "1G", "reaches beyond"),
        ("256M@2G", "4G", "reaches beyond"),
        # With the kernel in the middle of the memory above 4 GiB, neither half might do.
        ("256M,high", "2560M", "above 4 GiB"),
        ("2G", "6G", "above 4 GiB"),
        # 6.1 below 4 GiB, 6.12 above it: as KASLR had it.
        ("1900M", "4G", "above 4 GiB"),
    ],
)
def test_what_the_memory_map_decides_is_not_guessed(value: str, memory: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        main(value, memory)


@pytest.mark.parametrize(
    ("value", "memory", "size"),
    [
        # Debian's 6.1 and 6.12 under QEMU added 256 MiB of low memory to each.
        ("256M,high", "4G", 256 * MIB),
        (LADDER, "65409M", 2 * GIB),
        (LADDER, "65G", 2 * GIB),
        (LADDER, "16T", 2 * GIB),
    ],
)
def test_what_must_lie_above_4g_has_low_memory_besides(value: str, memory: str, size: int) -> None:
    expected = expected_reservation(parse_setting(value), parse_size(memory))
    assert expected == Reservation(size, low=256 * MIB)


@given(st.integers(1, 64 * GIB), st.integers(0, 1 * GIB))
def test_reservation_is_all_or_nothing(memory: int, size: int) -> None:
    assert expected_reservation(parse_setting(str(size)), memory) in {Reservation(size), Reservation(0)}
