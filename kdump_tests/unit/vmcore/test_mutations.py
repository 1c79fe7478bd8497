"""Headers written over at random: a verdict each, and never that a dump is whole that was cut.

benchmarks/fuzz.py does the same to the headers of a real dump, led by what the readers do with them.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdump_tests.unit.vmcore.dumps import KdumpCompressed, elf_core, flattened
from kdump_tests.unit.vmcore.mutations import Base, Edit, end_of_core, miniature, passes_for_complete

DUMP = KdumpCompressed()
BASES = {
    "kdump-compressed": Base(DUMP.image, DUMP.pages_at),
    "elf": Base(elf_core(), 64 + 56 * 3 + 600, end_of_core),
    "flattened": Base(flattened(DUMP.image), 2 * 4096),
}
_NUMBERS = [
    n & (1 << 64) - 1 for bit in (0, 8, 16, 31, 32, 47, 63) for n in (1 << bit, (1 << bit) - 1, -1 << bit)
]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.binary(min_size=1, max_size=24)
        | st.sampled_from([number.to_bytes(8, "little") for number in _NUMBERS]),
    ),
    max_size=6,
)


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(edits=EDITS, cut=st.integers(0, 5000))
def test_a_mutated_dump_that_was_cut_is_never_complete(
    tmp_path: Path, base: Base, edits: list[Edit], cut: int
) -> None:
    dump = base.mutated(edits, cut)
    assert not (passes_for_complete(tmp_path / "vmcore", dump) and base.is_cut(dump))


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_the_same_dump_whole_is_complete(tmp_path: Path, base: Base) -> None:
    assert passes_for_complete(tmp_path / "vmcore", base.whole)


@pytest.mark.parametrize("most", [1, 3, 6, 64])
def test_a_miniature_is_a_whole_dump(tmp_path: Path, most: int) -> None:
    small = miniature(DUMP.image, most)
    assert passes_for_complete(tmp_path / "vmcore", small.whole)
    assert not passes_for_complete(tmp_path / "vmcore", small.whole[:-1])
