"""What an x86 kernel's log says of memory that must be in a dump."""

import pytest

from kdump_tests.sizes import MIB
from kdump_tests.vmcore.firmware_map import memory_that_was

MAP = """\
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable
[    0.000000] BIOS-e820: [mem 0x00000000fed1c000-0x00000000fed1ffff] reserved"""


@pytest.mark.parametrize(
    ("further", "pieces"),
    [
        ("", [(1, 512)]),
        ("[    0.025974] Reserving 192MB of memory at 192MB for crashkernel (System RAM: 511MB)",
         [(1, 192), (386, 512)]),
        ("[    0.025974] Reserving 64MB of low memory at 256MB for crashkernel (low RAM limit: 4095MB)\n"
         "[    0.025974] Reserving 100MB of memory at 6000MB for crashkernel (System RAM: 8191MB)",
         [(1, 256), (322, 512)]),
        ("[    0.02] e820: remove [mem 0x000a0000-0x000fffff] usable", [(1, 512)]),
        ("[    0.02] e820: update [mem 0x1e000000-0x1fffffff] usable ==> reserved", [(1, 480)]),
        ("[    0.02] e820: user-defined physical RAM map:", []),
        ("[    0.00] Command line: quiet crashkernel=256M crashkernel=1G,cma", []),
    ],
)  # fmt: skip
def test_it_is_what_the_firmware_told_and_nobody_took(further: str, pieces: list[tuple[int, int]]) -> None:
    found = memory_that_was([*MAP.splitlines(), *further.splitlines()])
    assert found == tuple((start * MIB, end * MIB) for start, end in pieces)


def test_a_newer_kernels_reservation_is_not_there() -> None:
    line = "[    0.006] crashkernel reserved: 0x0000000010000000 - 0x0000000018000000 (128 MB)"
    (_, first), (second, _) = memory_that_was([*MAP.splitlines(), line])
    assert first == 256 * MIB
    assert second == pytest.approx(384 * MIB, abs=1)


@pytest.mark.parametrize(("size", "base"), [(200000001, 256 * MIB), (2 * MIB - 1, 255 * MIB + 0xFF000)])
def test_what_a_kernel_that_speaks_in_mib_does_not_say_is_not_missed(size: int, base: int) -> None:
    """crashkernel=200000001: the page behind its last whole MiB is not in /proc/vmcore either."""
    said = f"Reserving {size >> 20}MB of memory at {base >> 20}MB for crashkernel (System RAM: 511MB)"
    (_, first), (second, _) = memory_that_was([*MAP.splitlines(), f"[    0.02] {said}"])
    assert first <= base < base + size <= second


def test_a_log_that_tells_of_two_reservations_tells_nothing() -> None:
    said = "[    0.006] crashkernel reserved: 0x0000000010000000 - 0x00000000{} (128 MB)"
    assert memory_that_was([*MAP.splitlines(), said.format("18000000"), said.format("19000000")]) == ()


def test_a_log_that_lost_its_beginning_tells_nothing() -> None:
    assert memory_that_was(["[  136.170362] sysrq: Trigger a crash"]) == ()


def test_a_map_that_no_firmware_has_tells_nothing() -> None:
    assert memory_that_was(MAP.splitlines() * 2000) == ()
