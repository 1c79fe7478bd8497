"""The kernel's own memory map says which pages a dump must have; a bitmap that is another's is found out."""

import struct
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.sizes import MIB
from kdump_tests.unit.vmcore.memory_maps import BLOCKS, GENERATIONS, SECTION, Block, MemoryMap
from kdump_tests.vmcore.flaw import Flaw, Unknown
from kdump_tests.vmcore.kept_pages import KeptPages, MapOfPages, judge
from kdump_tests.vmcore.page_kinds import Kind
from kdump_tests.vmcore.shape import FrameSets
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

ORDINARY = [
    Block("kernel", 2), Block("free", 3), Block("cache", 2), Block("anonymous"), Block("slab", 1),
    Block("private cache"), Block("free"), Block("anonymous", 3), Block("hugetlb", 3), Block("kernel"),
]  # fmt: skip
LEFT_OUT = {
    0: set[Kind](),
    1: set[Kind](),
    2: {Kind.CACHE},
    4: {Kind.CACHE, Kind.PRIVATE_CACHE},
    8: {Kind.USER},
    16: {Kind.FREE},
    31: {Kind.CACHE, Kind.PRIVATE_CACHE, Kind.USER, Kind.FREE, Kind.BROKEN},
}

any_generation = pytest.mark.parametrize("generation", GENERATIONS)


def stored(memory: MemoryMap, level: int) -> list[bool]:
    """What makedumpfile stores."""
    return [kind not in LEFT_OUT[level] for kind in memory.kinds]


def judged(
    memory: MemoryMap, saved: list[bool], level: int | None, *, holes: frozenset[int] = frozenset()
) -> KeptPages:
    def of(frames: range) -> tuple[int, int]:
        exist = sum(1 << i for i, frame in enumerate(frames) if frame not in holes)
        return exist, exist & sum(saved[frame] << i for i, frame in enumerate(frames))

    pages = MapOfPages.of(memory.vmcoreinfo, FrameSets(len(saved), of))
    return judge(pages, memory.read, level)


@any_generation
@given(level=st.sampled_from([*LEFT_OUT]), blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=20))
def test_pages_are_of_the_kinds_that_the_kernel_made_them(
    generation: str, level: int, blocks: list[Block]
) -> None:
    memory = MemoryMap(generation, blocks)
    saved = stored(memory, level)
    kept = judged(memory, saved, level)
    counted = Counter(zip(memory.kinds, saved, strict=True))
    assert {(pages.kind, pages.stored, pages.left_out) for pages in kept.kinds} == {
        (kind, counted[kind, True], counted[kind, False]) for kind in Kind
    }
    assert (kept.lost, kept.remarks) == (0, ())


@any_generation
@pytest.mark.parametrize("level", LEFT_OUT)
def test_a_page_that_the_level_keeps_and_the_bitmap_lacks_is_named(generation: str, level: int) -> None:
    memory = MemoryMap(generation, ORDINARY)
    saved = stored(memory, level)
    for frame in (frame for frame, kept in enumerate(saved) if kept):
        lacking = [kept and number != frame for number, kept in enumerate(saved)]
        with pytest.raises(Flaw, match=rf"1 pages are not stored .* the first is frame {frame}$"):
            judged(memory, lacking, level)


@any_generation
@pytest.mark.parametrize("size", [4, 8, 16])
def test_two_parts_of_a_bitmap_in_each_others_place_are_found_out(generation: str, size: int) -> None:
    memory = MemoryMap(generation, [*ORDINARY, Block("free", 3), Block("kernel", 3), Block("free", 3)])
    saved = stored(memory, 31)
    parts = [saved[first : first + size] for first in range(0, len(saved), size)]
    one, other = 1, next(number for number, part in enumerate(parts) if number > 1 and part != parts[1])
    parts[one], parts[other] = parts[other], parts[one]
    with pytest.raises(Flaw, match="its second bitmap contradicts its memory map"):
        judged(memory, [kept for part in parts for kept in part], 31)


def test_free_pages_that_makedumpfile_does_not_know_are_told_and_no_flaw() -> None:
    """1.7.6 on Linux 6.12, as in Debian 13: 72c3414 came later."""
    memory = MemoryMap("6.12", ORDINARY)
    saved = [kept or kind is Kind.FREE for kept, kind in zip(stored(memory, 31), memory.kinds, strict=True)]
    (remark,) = judged(memory, saved, 31).remarks
    assert remark.startswith("9 of 9 pages are stored that dump level 31 leaves out (free pages)")
    with pytest.raises(Flaw, match="8 free pages are stored, 1 others are not"):
        judged(memory, [kept and frame != 8 for frame, kept in enumerate(saved)], 31)


@pytest.mark.parametrize(("what", "lost"), [("kernel with odd tails", 7), ("odd slab", 8)])
def test_pages_that_an_older_makedumpfile_takes_for_a_users_are_told_and_no_flaw(
    what: str, lost: int
) -> None:
    """1.7.9 on Linux 7.1, as in Debian sid: f50c015 came later. 1.7.5 on Linux 6.10: bad2a7c came later."""
    memory = MemoryMap("7.1", [Block(what, 3), *ORDINARY])
    mistaken = range(8 - lost, 8)

    def saved(level: int) -> list[bool]:
        return [kept and frame not in mistaken for frame, kept in enumerate(stored(memory, level))]

    kept = judged(memory, saved(31), 31)
    assert kept.lost == lost
    assert kept.remarks[0].startswith(f"{lost} pages of the kernel's own are left out")
    with pytest.raises(Flaw, match=f"{lost} pages are not stored that dump level 16 keeps"):
        judged(memory, saved(16), 16)


def test_frames_that_do_not_exist_are_not_asked_for() -> None:
    memory = MemoryMap("6.12", ORDINARY)
    holes = frozenset(range(4))
    kept = judged(memory, [frame not in holes for frame in range(len(memory.kinds))], 0, holes=holes)
    assert sum(pages.stored + pages.left_out for pages in kept.kinds) == len(memory.kinds) - 4


def test_a_dump_without_a_level_is_counted_and_not_judged() -> None:
    memory = MemoryMap("6.12", ORDINARY)
    kept = judged(memory, [False] * len(memory.kinds), None)
    assert {pages.stored for pages in kept.kinds} == {0}


def test_memory_that_the_kernel_has_no_struct_page_for_must_be_there() -> None:
    memory = MemoryMap("6.12", ORDINARY)
    behind = [True] * SECTION
    assert judged(memory, stored(memory, 31) + behind, 31).remarks == ()
    with pytest.raises(Flaw, match=f"the first is frame {len(memory.kinds) + 3}"):
        judged(memory, stored(memory, 31) + behind[:3] + [False] + behind[4:], 31)


def test_a_memory_map_without_the_struct_pages_of_what_is_left_out_is_judged_by_the_rest() -> None:
    """As `makedumpfile -e` leaves them out: the second page of this map is that of frames 64 to 127."""
    memory = MemoryMap("6.12", [Block("kernel", 3)] * 8 + [Block("free", 3)] * 8)
    memory.missing = set(range(64, 128))
    saved = stored(memory, 31)
    judged(memory, [kept and frame != 5 for frame, kept in enumerate(saved)], 31)
    with pytest.raises(Flaw, match="1 pages are not stored"):
        judged(memory, [kept and frame not in {5, 6} for frame, kept in enumerate(saved)], 31)


def test_a_stored_page_whose_struct_page_is_missing_is_a_flaw() -> None:
    memory = MemoryMap("6.12", ORDINARY)
    memory.missing = {1}
    with pytest.raises(Flaw, match="its memory map lacks frame 0, of which the page is stored"):
        judged(memory, stored(memory, 31), 31)


@pytest.mark.parametrize("missing", ["SIZE(page)", "LENGTH(mem_section)", "NUMBER(PG_lru)"])
def test_a_kernel_that_does_not_describe_its_memory_map_is_not_judged(missing: str) -> None:
    memory = MemoryMap("6.12", ORDINARY)
    memory.vmcoreinfo = Vmcoreinfo(
        {key: value for key, value in memory.vmcoreinfo.items() if key != missing}
    )
    with pytest.raises(Unknown, match="its VMCOREINFO has no"):
        judged(memory, stored(memory, 31), 31)


@pytest.mark.parametrize(
    "lie",
    [
        {"NUMBER(PG_hugetlb)": "1000000000"},
        {"NUMBER(PG_hugetlb)": "-1"},
        {"OFFSET(page.compound_dtor)": "1000000"},
        {"SIZE(page)": "8"},
        {"SIZE(page)": "0"},
        {"OFFSET(page._mapcount)": "61"},
        {"NUMBER(PG_lru)": "64"},
        {"NUMBER(PG_head_mask)": "-1"},
        {"NUMBER(SECTION_SIZE_BITS)": "62"},
        {"NUMBER(SECTION_SIZE_BITS)": "-62"},
        {"LENGTH(mem_section)": "2"},
        {"SIZE(mem_section)": "0"},
        {"LENGTH(zone.free_area)": "4000000000"},
    ],
)
def test_a_memory_map_that_cannot_be_is_not_judged(lie: dict[str, str]) -> None:
    memory = MemoryMap("6.1" if "OFFSET(page.compound_dtor)" in lie else "6.12", ORDINARY)
    memory.vmcoreinfo = Vmcoreinfo(dict(memory.vmcoreinfo) | lie)
    with pytest.raises(Unknown):
        judged(memory, stored(memory, 31), 31)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 31 * 64))
def test_noise_in_the_memory_map_is_counted_or_a_flaw(noise: bytes, at: int) -> None:
    memory = MemoryMap("6.12", ORDINARY)
    memory.structs[at : at + len(noise)] = noise
    kept = judged(memory, stored(memory, 31), None)
    assert sum(pages.stored + pages.left_out for pages in kept.kinds) == len(memory.kinds)


def test_memory_stays_bounded_however_long_the_map_is() -> None:
    """Sections as real ones: 32768 frames, 2 MiB of struct pages each."""

    def peak(sections: int) -> int:
        memory = MemoryMap("6.12", [Block("kernel", 3)] * 4)
        told = dict(memory.vmcoreinfo) | {
            "NUMBER(SECTION_SIZE_BITS)": "27",
            "NUMBER(MAX_PHYSMEM_BITS)": "35",
        }
        structs = bytes(memory.structs) * 1024

        def read(address: int, size: int) -> bytes:
            return structs if size == len(structs) else struct.pack("<Q", 0x40000001)

        everything = FrameSets(32768 * sections, lambda frames: ((1 << len(frames)) - 1,) * 2)
        tracemalloc.start()
        try:
            judge(MapOfPages.of(Vmcoreinfo(told), everything), read, 31)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(sections=12) < peak(sections=2) + 100_000 < 8 * MIB
