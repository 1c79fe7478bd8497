"""How much a kernel sets aside. The numbers were read off kernels under QEMU, or stand in their sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.evaluation import expected_reservations
from kdump_tests.crashkernel.generation import generation_of, newest
from kdump_tests.crashkernel.placement import X86_64, placement_of
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB, parse_size

LADDER = "0-2G:192M,2G-6G:256M,6G-8G:512M,8G-64G:1G,64G-:2G"
RHEL_8_0 = "1G-64G:160M,64G-1T:256M,1T-:512M"
RHEL_8_3 = "1G-4G:160M,4G-64G:192M,64G-1T:256M,1T-:512M"


def may_keep(value: str, memory: str, release: str = "6.12.48", *, kaslr: bool = True) -> list[Reservation]:
    """What a kernel of that release may keep aside."""
    placement = X86_64 if kaslr else X86_64.probed
    setting, generation = parse_setting(value), generation_of(release, "x86_64")
    return list(expected_reservations(setting, parse_size(memory), generation, placement))


def kept(value: str, memory: str, release: str = "6.12.48") -> Reservation:
    """What one surely keeps aside that lies at the beginning of the memory."""
    (reservation,) = may_keep(value, memory, release, kaslr=False)
    return reservation


def kept_on(architecture: str, value: str, memory: str, release: str) -> list[tuple[int, int]]:
    """What a probed kernel of another architecture may keep aside, main and low, in bytes."""
    outcomes = expected_reservations(
        parse_setting(value),
        parse_size(memory),
        generation_of(release, architecture),
        placement_of(architecture).probed,
    )
    return [(outcome.main, outcome.low) for outcome in outcomes]


def main(value: str, memory: str, release: str = "6.12.48") -> int:
    """Main bytes, where all is well below 4 GiB."""
    reservation = kept(value, memory, release)
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
        ("256M,low", "1G", 0),
        ("256M,high", "1G", 256 * MIB),
        ("256M,high", "256M", 0),
    ],
)
def test_plain_size_is_kept_to_the_byte_when_it_is_below_the_memory(
    value: str, memory: str, size: int
) -> None:
    assert main(value, memory) == size


def test_auto_is_the_kernels_choice_where_it_is_known() -> None:
    with pytest.raises(BadInput, match="the kernel chooses"):
        main("auto", "4G", "4.18.0-240.el8.x86_64")
    assert main("auto", "4G", "6.1.0") == 0  # "memory value expected"


@pytest.mark.parametrize(
    ("value", "on_5_10", "on_6_1", "on_6_12", "on_6_17"),
    [
        # Rounded up to 2 GiB from 6.0 on. No kernel before it was asked; its source says so.
        ("2G-:256M", "0", "256M", "256M", "256M"),
        # A value that gives nothing hides ,high from 6.7 on; before, ,high is looked for.
        ("8G-:64M crashkernel=192M", "192M", "192M", "192M", "192M"),
        ("192M crashkernel=8G-:64M", "0", "0", "0", "0"),
        ("192M crashkernel=64M", "64M", "64M", "64M", "64M"),
        ("0 crashkernel=192M,high", "192M", "192M", "0", "0"),
        ("auto crashkernel=192M,high", "192M", "192M", "0", "0"),
        # Where ,cma is not known it is the last value without a known suffix, and wrong.
        ("256M crashkernel=64M,cma", "0", "0", "0", "256M"),
        ("64M,cma crashkernel=256M", "256M", "256M", "256M", "256M"),
        ("64M,cma", "0", "0", "0", "0"),
        ("192M,high crashkernel=64M,cma", "192M", "192M", "0", "192M"),
        ("72M,low", "0", "0", "0", "0"),
        ("192M,high crashkernel=64M,high", "64M", "64M", "64M", "64M"),
        ("192M crashkernel=64M,high", "192M", "192M", "192M", "192M"),
    ],
)
def test_generations_differ_as_their_sources_do(
    value: str, on_5_10: str, on_6_1: str, on_6_12: str, on_6_17: str
) -> None:
    releases = ("5.10.0-60.18.0.50.oe2203", "6.1.0-40-amd64", "6.12.48+deb13-amd64", "6.17.1")
    kept_by = [main(value, "1921M", release) for release in releases]
    assert kept_by == [parse_size(size) for size in (on_5_10, on_6_1, on_6_12, on_6_17)]


@pytest.mark.parametrize(
    ("value", "on_6_1", "on_6_12"),
    [
        ("512M,high", Reservation(512 * MIB, 256 * MIB), Reservation(512 * MIB, 256 * MIB)),
        (
            "512M,high crashkernel=72M,low",
            Reservation(512 * MIB, 72 * MIB),
            Reservation(512 * MIB, 72 * MIB),
        ),
        ("512M,high crashkernel=0,low", Reservation(512 * MIB), Reservation(512 * MIB)),
        # ,low besides a plain size counts up to 6.6 only.
        ("2G crashkernel=72M,low", Reservation(2 * GIB, 72 * MIB), Reservation(2 * GIB, 256 * MIB)),
    ],
)
def test_low_memory_is_as_much_as_was_asked_for(
    value: str, on_6_1: Reservation, on_6_12: Reservation
) -> None:
    assert kept(value, "16G", "6.1.0") == on_6_1
    assert kept(value, "16G", "6.12.48") == on_6_12


@pytest.mark.parametrize("value", ["256M@17M", "0-:256M@17M"])
def test_offset_that_6_1_takes_is_never_free_to_6_12(value: str) -> None:
    # 6.1 reserved it, 6.12 said "memory is in use".
    assert may_keep(value, "2G", "6.1.0") == [Reservation(256 * MIB), Reservation(0)]
    assert may_keep(value, "2G", "6.12.48") == [Reservation(0)]


def test_cma_comes_on_top_in_whole_pages() -> None:
    assert kept("256M crashkernel=1,cma", "2G", "6.17.1") == Reservation(256 * MIB, cma=4096)
    assert kept("256M crashkernel=64M,cma", "2G", "7.2.0") == Reservation(256 * MIB, cma=64 * MIB)
    assert kept("8G crashkernel=64M,cma", "4G", "7.2.0") == Reservation(0)


@pytest.mark.parametrize(
    ("memory", "cma", "told"),
    [
        # 7.2 reserved 687M of it in four pieces, and 1349M.
        ("964M", "1630M", False),
        ("1630M", "1630M", False),
        ("16G", "1630M", True),
        ("2G", "1536M", True),
        ("2G", "1750M", False),
    ],
)
def test_cma_that_may_come_in_pieces_is_not_foretold(memory: str, cma: str, told: bool) -> None:
    value = f"200000001 crashkernel={cma},cma"
    if told:
        assert kept(value, memory, "7.2.0") == Reservation(200000001, cma=parse_size(cma))
    else:
        with pytest.raises(BadInput, match="may not be free in one piece"):
            kept(value, memory, "7.2.0")


@pytest.mark.parametrize(
    ("value", "memory", "outcomes"),
    [
        # 6.1 once below 4 GiB, 6.12 once above it: as KASLR had it. Neither may do.
        ("1900M", "4G", [(1900, 0), (1900, 256), (0, 0)]),
        # The kernel in the middle of what lies below, one time in a hundred.
        ("1G", "8G", [(1024, 0), (1024, 256)]),
        ("960M", "8G", [(960, 0)]),
        # With the kernel in the middle of the memory above 4 GiB, neither half might do.
        ("384M,high", "2816M", [(384, 256), (384, 0)]),
        # Told by 6.1: less than 2816M lies below 4 GiB as a whole.
        ("26M,high", "2467M", [(26, 0)]),
        ("26M,high", "2815M", [(26, 0)]),
        ("26M,high", "2816M", [(26, 256)]),
        ("1200M,high", "4G", [(1200, 256), (1200, 0), (0, 0)]),
        ("2G", "6G", [(2048, 256), (0, 0)]),
        # Told by 6.1 on 1073M: "No suitable area found".
        ("690M,high", "1073M", [(690, 0), (0, 0)]),
        ("690M", "1073M", [(690, 0), (0, 0)]),
        # The kernel may lie there.
        ("256M@16M", "2G", [(256, 0), (0, 0)]),
        ("0-:256M@32M", "2G", [(256, 0), (0, 0)]),
        # More low memory than may be free; more than there is at all.
        ("512M,high crashkernel=1536M,low", "16G", [(512, 1536), (0, 0)]),
        ("512M,high crashkernel=4G,low", "16G", [(0, 0)]),  # told by 6.1, 6.12 and 7.2
    ],
)
def test_where_chance_decides_all_that_may_come_is_told(
    value: str, memory: str, outcomes: list[tuple[int, int]]
) -> None:
    assert may_keep(value, memory) == [Reservation(size * MIB, low * MIB) for size, low in outcomes]


@pytest.mark.parametrize(
    ("value", "memory"), [("256M@1G", "1G"), ("256M@2G", "4G"), ("256M@3G", "4G"), ("256M@64G", "4G")]
)
def test_offset_where_no_memory_is_gives_nothing(value: str, memory: str) -> None:
    assert may_keep(value, memory) == [Reservation(0)]


def test_offset_above_4g_may_be_free() -> None:
    assert may_keep("256M@5G", "8G") == [Reservation(256 * MIB), Reservation(0)]


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
    assert may_keep(value, memory) == [Reservation(size, low=256 * MIB)]


@given(st.integers(1, 64 * GIB), st.integers(0, 1 * GIB))
def test_reservation_is_all_or_nothing(memory: int, size: int) -> None:
    outcomes = expected_reservations(parse_setting(str(size)), memory, newest("x86_64"), X86_64)
    assert {outcome.main for outcome in outcomes} <= {size, 0}
    assert len(set(outcomes)) == len(outcomes) > 0


@pytest.mark.parametrize(
    ("value", "memory", "on_6_1", "on_6_12"),
    [
        # Debian's 6.1 and 6.12 under QEMU, all of them.
        ("2G-:448M", "1920M", [(0, 0)], [(0, 0)]),
        ("2G-:448M", "1921M", [(448 * MIB, 0)], [(448 * MIB, 0)]),
        ("2G-:448M", "256G", [(448 * MIB, 0)], [(448 * MIB, 0)]),
        ("200000001", "2G", [(200003584, 0)], [(200000001, 0)]),
        # 6.1 tries nowhere but below 4 GiB.
        ("4G", "64G", [(0, 0)], [(4 * GIB, 128 * MIB)]),
        ("256M,high", "16G", [(256 * MIB, 0)], [(256 * MIB, 128 * MIB)]),
        ("256M,high crashkernel=64M,low", "16G", [(256 * MIB, 64 * MIB)], [(256 * MIB, 64 * MIB)]),
        ("256M,high", "2G", [(256 * MIB, 0)], [(256 * MIB, 0)]),
        ("256M,low", "4G", [(0, 0)], [(0, 0)]),
        ("256M@2049M", "4G", [(0, 0)], [(0, 0)]),
        ("256M@2G", "4G", [(256 * MIB, 0), (0, 0)], [(256 * MIB, 0), (0, 0)]),
        ("256M@512M", "4G", [(0, 0)], [(0, 0)]),  # below where RAM begins
        ("auto", "4G", [(0, 0)], [(0, 0)]),
        ("0 crashkernel=256M,high", "16G", [(0, 0)], [(0, 0)]),
    ],
)
def test_arm64_has_rules_of_its_own(
    value: str, memory: str, on_6_1: list[tuple[int, int]], on_6_12: list[tuple[int, int]]
) -> None:
    assert kept_on("arm64", value, memory, "6.1.0-56-arm64") == on_6_1
    assert kept_on("arm64", value, memory, "6.12.118+deb13-arm64") == on_6_12


@pytest.mark.parametrize(
    ("value", "memory", "size"),
    [
        # Debian's 6.1 under QEMU, all of them.
        ("2G-4G:384M,4G-16G:512M", "1792M", 0),
        ("2G-4G:384M,4G-16G:512M", "3840M", 384 * MIB),
        ("2G-4G:384M,4G-16G:512M", "4G", 512 * MIB),
        ("3G", "4G", 3 * GIB),
        ("5G", "8G", 5 * GIB),
        # At half of the memory, and no lower than 512 MiB: what does not fit there fits nowhere.
        ("384M", "512M", 0),
        ("600M", "1G", 0),
        ("4G", "4G", 0),
        ("200000001", "2G", 200015872),
        ("256M,high", "8G", 0),
        ("256M,low", "8G", 0),
    ],
)
def test_powerpc_has_one_place_for_all(value: str, memory: str, size: int) -> None:
    assert kept_on("ppc64le", value, memory, "6.1.0-50-powerpc64le") == [(size, 0)]


def test_cma_is_x86s_alone() -> None:
    """35c18f2933c5 reserves it in arch/x86; elsewhere the value is read and forgotten."""
    (outcome,) = expected_reservations(
        parse_setting("256M crashkernel=64M,cma"),
        4 * GIB,
        generation_of("7.2.0", "arm64"),
        placement_of("arm64").probed,
    )
    assert outcome == Reservation(256 * MIB)
