"""What a guest tells of the memory it keeps, and what is made of nonsense."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.reservation import (
    Announcement,
    Reservation,
    parse_boot_log,
    parse_crash_size,
    parse_iomem,
)
from kdump_tests.errors import LabError
from kdump_tests.sizes import GIB, MIB

IOMEM = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-3ffdffff : System RAM
  14000000-15202ec7 : Kernel code
  2f000000-3effffff : Crash kernel
3ffe0000-3fffffff : Reserved
"""
IOMEM_WITH_LOW = """\
00100000-7ffdffff : System RAM
  6f000000-7effffff : Crash kernel
100000000-17fffffff : System RAM
  16f000000-17effffff : Crash kernel
"""


def test_crash_size_is_a_number_of_bytes() -> None:
    assert parse_crash_size("268435456\n") == 256 * MIB


@pytest.mark.parametrize("text", ["", "cat: no such file", "-1", "0x100", "1 2", "\u0661", "9" * 5000])
def test_crash_size_that_is_no_number_is_the_laboratorys_error(text: str) -> None:
    with pytest.raises(LabError, match="kexec_crash_size"):
        parse_crash_size(text)


def test_iomem_shows_the_piece() -> None:
    assert parse_iomem(IOMEM) == Reservation(256 * MIB)


def test_iomem_shows_the_low_piece_and_the_main_one() -> None:
    assert parse_iomem(IOMEM_WITH_LOW) == Reservation(256 * MIB, low=256 * MIB)


def test_iomem_without_a_piece_means_nothing_is_reserved() -> None:
    assert parse_iomem(IOMEM.replace("Crash kernel", "Kernel data")).total == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("00000000-00000000 : System RAM\n  00000000-00000000 : Crash kernel\n", "hides its addresses"),
        ("", "not /proc/iomem"),
        ("cat: /proc/iomem: Permission denied", "not /proc/iomem"),
        ("2f000000-1f000000 : Crash kernel", "ends before it starts"),
        (IOMEM + "10000000-1fffffff : Crash kernel", "no kernel makes"),
        (IOMEM_WITH_LOW + "10000000-1fffffff : Crash kernel", "no kernel makes"),
    ],
)
def test_iomem_that_cannot_be_is_not_believed(text: str, why: str) -> None:
    with pytest.raises(LabError, match=why):
        parse_iomem(text)


def logged(*lines: str) -> str:
    """A boot log around the lines, with what looks like them and is something else."""
    return "\r\n".join(
        [
            "Probing EDD (edd=off to disable)... ok",
            "[    0.000000] Command line: console=ttyS0 crashkernel=256M",
            "[    0.023075] ACPI: Reserving DSDT table memory at [mem 0x3ffe0040-0x3ffe2067]",
            *(f"[    0.031719] {line}" for line in lines),
            "[    0.117630] Kernel command line: console=ttyS0 crashkernel=256M",
        ]
    )


# Debian's 6.1 and 6.12 said these under QEMU, at 1 GiB and, with ,high, at 4 GiB.
SAID_6_1 = "Reserving 256MB of memory at 624MB for crashkernel (System RAM: 1023MB)"
SAID_6_12 = "crashkernel reserved: 0x000000002f000000 - 0x000000003f000000 (256 MB)"
SAID_6_1_HIGH = (
    "Reserving 256MB of low memory at 1776MB for crashkernel (low RAM limit: 4095MB)",
    "Reserving 256MB of memory at 5872MB for crashkernel (System RAM: 4095MB)",
)
SAID_6_12_HIGH = (
    "crashkernel low memory reserved: 0x6f000000 - 0x7f000000 (256 MB)",
    "crashkernel reserved: 0x000000016f000000 - 0x000000017f000000 (256 MB)",
)


# Debian's 6.1 said this on ppc64le at 4 GiB.
SAID_PPC64LE = "Reserving 256MB of memory at 512MB for crashkernel (System RAM: 4096MB)"
# And on arm64: at 2 GiB, and 6.12 with 4G at 64 GiB.
SAID_ARM64 = "crashkernel reserved: 0x00000000a9a00000 - 0x00000000b9a00000 (256 MB)"
SAID_ARM64_HIGH = (
    "crashkernel low memory reserved: 0xf4000000 - 0xfc000000 (128 MB)",
    "crashkernel reserved: 0x0000000ef7c00000 - 0x0000000ff7c00000 (4096 MB)",
)


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (SAID_6_1, 624 * MIB),
        (SAID_6_12, 0x2F000000),
        (SAID_PPC64LE, 512 * MIB),
        (SAID_ARM64, 0xA9A00000),
    ],
)
def test_boot_log_tells_the_reservation_and_where_it_lies(said: str, at: int) -> None:
    assert parse_boot_log(logged(said)) == Announcement(Reservation(256 * MIB), (said,), main_at=at)


@pytest.mark.parametrize(
    ("said", "at", "low_at"),
    [(SAID_6_1_HIGH, 5872 * MIB, 1776 * MIB), (SAID_6_12_HIGH, 0x16F000000, 0x6F000000)],
)
def test_boot_log_tells_low_and_main(said: tuple[str, str], at: int, low_at: int) -> None:
    assert parse_boot_log(logged(*said)) == Announcement(
        Reservation(256 * MIB, 256 * MIB), said, main_at=at, low_at=low_at
    )


def test_boot_log_tells_low_and_main_of_arm64() -> None:
    said = parse_boot_log(logged(*SAID_ARM64_HIGH))
    assert said == Announcement(
        Reservation(4 * GIB, 128 * MIB), SAID_ARM64_HIGH, main_at=0xEF7C00000, low_at=0xF4000000
    )


def test_reservation_that_powerpc_takes_back_is_none() -> None:
    said = (
        "Reserving 600MB of memory at 512MB for crashkernel (System RAM: 1024MB)",
        "Failed to reserve memory for crashkernel!",
    )
    assert parse_boot_log(logged(*said)) == Announcement(Reservation(0), said, said[1:])


def test_remark_of_powerpc_refuses_nothing() -> None:
    remark = "Crash kernel base must be aligned to 0x10000"
    said = parse_boot_log(logged(remark, SAID_PPC64LE))
    assert said == Announcement(Reservation(256 * MIB), (remark, SAID_PPC64LE), main_at=512 * MIB)


def test_boot_log_of_6_12_is_exact_to_the_byte() -> None:
    said = "crashkernel reserved: 0x0000000034000000 - 0x000000003febc201 (190 MB)"
    assert parse_boot_log(logged(said)).reservation == Reservation(200000001)


@pytest.mark.parametrize(
    "said",
    [
        "crashkernel reservation failed - No suitable area found.",
        "crashkernel reservation failed - memory is in use.",
        "cannot allocate crashkernel (size:0x3e800000)",
        "cannot allocate crashkernel low memory (size:0x10000000).",
        "Cannot reserve 256MB crashkernel low memory, please try smaller size.",
        "Ignoring crashkernel for a Xen PV domain",
        "crashkernel: memory value expected",
        "crashkernel: Memory value expected",
        "Memory value expected",
        "Memory value expected after '@'",
        "crashkernel: '-' expected",
        "crashkernel: ':' expected",
        "crashkernel: end <= start",
        "crashkernel: invalid size",
        "crashkernel: unrecognized char: B",
        "crashkernel size resulted in zero bytes",
        "crashkernel=auto resulted in zero bytes of reserved memory.",
        "Crash kernel can not overlap current kernel",
    ],
)
def test_boot_log_says_why_nothing_is_reserved(said: str) -> None:
    assert parse_boot_log(logged(said)) == Announcement(Reservation(0), (said,), (said,))


def test_low_memory_alone_is_no_reservation() -> None:
    assert parse_boot_log(logged(SAID_6_12_HIGH[0])).reservation == Reservation(0)


def test_kernel_that_chose_by_itself_says_so() -> None:
    remark = "Using crashkernel=auto, the size chosen is a best effort estimation."
    assert parse_boot_log(logged(remark, SAID_6_1)).words == (remark, SAID_6_1)


def test_prefixes_of_dmesg_and_of_rhel_7_are_no_part_of_the_words() -> None:
    said = "kexec: crashkernel=auto resulted in zero bytes of reserved memory."
    assert parse_boot_log(f"<6>[    0.000000] {said}").words == (said.removeprefix("kexec: "),)


def test_silent_boot_log_tells_of_nothing() -> None:
    assert parse_boot_log(logged()) == Announcement(Reservation(0))


def test_line_that_two_consoles_printed_counts_once() -> None:
    assert parse_boot_log(logged(SAID_6_12, SAID_6_12)).words == (SAID_6_12,)


def test_logs_of_two_boots_are_not_mixed_up() -> None:
    with pytest.raises(LabError, match="two different reservations"):
        parse_boot_log(logged(SAID_6_12, SAID_6_12.replace("0x000000002f", "0x000000001f")))


def test_piece_that_ends_before_it_starts_is_not_believed() -> None:
    with pytest.raises(LabError, match="ends before it starts"):
        parse_boot_log(logged("crashkernel reserved: 0x000000003f000000 - 0x000000002f000000 (256 MB)"))


NOISE = st.text() | st.text("0123456789abcdef-: \n[]<>Crashkernl", max_size=200)


@pytest.mark.parametrize("read", [parse_crash_size, parse_iomem, parse_boot_log])
@given(text=NOISE)
def test_garbage_raises_nothing_but_the_laboratorys_error(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(LabError):
        read(text)
