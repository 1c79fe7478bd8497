"""What a process kept in memory is in the dump, or it is said why nobody can tell."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.unit.vmcore.crashed_machine import FIRST, crashed_machine, machine_with_users
from kdump_tests.unit.vmcore.dumps import PAGE, flattened
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.vmcore.inspection import inspect
from kdump_tests.vmcore.page_kinds import Kind
from kdump_tests.vmcore.user_data import Sought, find_in_user_data

KEPT = b"0123456789abcdef"
USERS = {FIRST + 25: b"other".ljust(PAGE, b"."), FIRST + 27: KEPT.rjust(PAGE, b".")}


def ring() -> SyntheticRing:
    """A log that holds what is sought, as the kernel's memory may."""
    said = SyntheticRing()
    said.say(KEPT)
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vmcore"


def soon() -> Deadline:
    return Deadline.after(60, "it is looked for")


def sought(path: Path, dump: bytes) -> Sought:
    path.write_bytes(dump)
    return find_in_user_data(inspect(path), KEPT, soon())


@pytest.mark.parametrize("wrapped", [bytes, flattened], ids=["plain", "flattened"])
def test_it_is_found_where_the_process_kept_it(path: Path, wrapped: type[bytes]) -> None:
    assert sought(path, wrapped(machine_with_users(ring(), USERS, dump_level=16).image)) == Sought(
        FIRST + 27
    )


def test_the_kernels_own_memory_is_not_looked_into(path: Path) -> None:
    """The log holds it: what went through the kernel proves nothing of a process."""
    dump = machine_with_users(ring(), {FIRST + 25: USERS[FIRST + 25]}, dump_level=16)
    assert sought(path, dump.image) == Sought(None)


def test_a_level_that_keeps_no_user_data_does_not_promise_it(path: Path) -> None:
    assert sought(path, machine_with_users(ring(), USERS, dump_level=31).image) == Sought(
        None, promised=False
    )


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "too many to count"])
def test_a_dump_that_tells_no_level_and_keeps_none_is_not_judged(path: Path, *, counted: bool) -> None:
    """An ELF file of a large machine: its pages are only counted when that is asked for."""
    path.write_bytes(machine_with_users(ring(), USERS, dump_level=31).image)
    core = replace(inspect(path), dump_level=None)
    found = find_in_user_data(core if counted else replace(core, kept=None), KEPT, soon())
    assert found.unknown_because == "it keeps no user data, and does not tell its dump level"


@pytest.mark.parametrize(
    ("left_out", "because"),
    [(0, ""), (561, "it keeps not all user data, and does not tell its dump level")],
    ids=["all are kept", "some are left out"],
)
def test_what_an_elf_file_promises_is_told_by_what_it_keeps(path: Path, left_out: int, because: str) -> None:
    others = {FIRST + 25: USERS[FIRST + 25]}
    path.write_bytes(machine_with_users(ring(), others, dump_level=16).image)
    core = inspect(path)
    assert core.kept
    kinds = tuple(
        replace(each, left_out=left_out) if each.kind is Kind.USER else each for each in core.kept.kinds
    )
    of_an_elf_file = replace(core, dump_level=None, kept=replace(core.kept, kinds=kinds))
    found = find_in_user_data(of_an_elf_file, KEPT, soon())
    assert (found.frame, found.unknown_because) == (None, because)


def test_a_dump_that_keeps_what_its_level_leaves_out_is_looked_through(path: Path) -> None:
    dump = machine_with_users(ring(), USERS, dump_level=31, leaks_users=True)
    assert sought(path, dump.image) == Sought(FIRST + 27, promised=False)


def test_the_search_of_a_large_memory_ends_in_time(path: Path) -> None:
    path.write_bytes(machine_with_users(ring(), USERS, dump_level=16).image)
    found = find_in_user_data(inspect(path), KEPT, Deadline.after(0, "a machine of 6 TiB is read"))
    assert found.unknown_because == "not all of its user data was read in time (a machine of 6 TiB is read)"


def test_a_kernel_that_describes_no_memory_map_is_not_judged(path: Path) -> None:
    found = sought(path, crashed_machine(ring(), dump_level=16).image)
    assert found.unknown_because.startswith("its VMCOREINFO has no")


def test_a_dump_that_is_not_whole_is_not_judged(path: Path) -> None:
    dump = machine_with_users(ring(), USERS, dump_level=16).image[:-1]
    assert sought(path, dump).unknown_because == "the dump is not whole"


def test_pages_by_kind_are_told_of_the_same_dump(path: Path) -> None:
    path.write_bytes(machine_with_users(ring(), USERS, dump_level=31).image)
    core = inspect(path)
    assert core.incomplete_because == ""
    assert core.kept is not None
    counted = {pages.kind: (pages.stored, pages.left_out) for pages in core.kept.kinds}
    assert (counted[Kind.KERNEL], counted[Kind.USER], counted[Kind.FREE]) == ((24, 0), (0, 2), (0, 6))
    assert core.proof[-1] == "all is stored that dump level 31 keeps, by its memory map"


def test_a_bitmap_whose_bits_moved_is_not_complete(path: Path) -> None:
    """Pages that nothing leads to: only the memory map tells that they should be elsewhere."""
    dump = machine_with_users(ring(), USERS, dump_level=31)
    moved = bytearray(dump.image)
    at = dump.bitmap_2 + FIRST // 8
    bits = struct.unpack_from("<I", moved, at)[0]
    struct.pack_into("<I", moved, at, bits & ~(1 << 23) | 1 << 31)
    path.write_bytes(moved)
    core = inspect(path)
    assert "its second bitmap contradicts its memory map: 1 pages are not stored" in core.incomplete_because
    assert core.kept is None
    assert core.kept_unknown_because == core.incomplete_because
