"""Questions, expectations and answers; what a kernel says is written down here."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.generation import generation_of
from kdump_tests.crashkernel.matrix import LARGEST, SMALLEST, Answer, Case, Expectation, boundaries, expect
from kdump_tests.crashkernel.placement import X86_64
from kdump_tests.crashkernel.reservation import parse_boot_log
from kdump_tests.crashkernel.setting import parse_setting
from kdump_tests.crashkernel.table import as_json, as_table
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB

OF_6_1 = "Reserving 256MB of memory at 1776MB for crashkernel (System RAM: 2047MB)"
OF_6_12 = "crashkernel reserved: 0x000000006f000000 - 0x000000007f000000 (256 MB)"

SIX_1, EL8 = generation_of("6.1.0-40-amd64", "x86_64"), generation_of("4.18.0-240.el8.x86_64", "x86_64")


def case(value: str, memory: int) -> Case:
    return Case(parse_setting(value), memory)


def answer(value: str, memory: int, said: str) -> Answer:
    return Answer(expect(case(value, memory), SIX_1, X86_64), parse_boot_log(said))


@pytest.mark.parametrize("said", [OF_6_1, OF_6_12])
def test_kernel_that_reserves_what_was_expected_agrees(said: str) -> None:
    assert answer("256M", 2 * GIB, said).agrees is True


@pytest.mark.parametrize("said", [OF_6_1, OF_6_12, "crashkernel size resulted in zero bytes", ""])
def test_kernel_that_reserves_anything_else_disagrees(said: str) -> None:
    assert answer("192M", 2 * GIB, said).agrees is False


def test_low_memory_that_is_missing_is_no_agreement() -> None:
    assert answer("256M,high", 8 * GIB, OF_6_12).agrees is False


def test_bytes_agree_with_a_kernel_that_tells_whole_mib_only() -> None:
    assert answer(str(256 * MIB + 5), 2 * GIB, OF_6_1).agrees is True
    assert answer(str(256 * MIB + 5), 2 * GIB, OF_6_12).agrees is False


def test_where_nothing_can_be_expected_nothing_agrees() -> None:
    asked = Answer(expect(case("auto", 4 * GIB), EL8, X86_64), parse_boot_log(OF_6_1))
    assert asked.agrees is None
    assert "the kernel chooses" in asked.expectation.because


def test_every_edge_is_looked_at_from_both_sides() -> None:
    assert boundaries([2 * GIB]) == tuple(
        size * MIB for size in (512, 1919, 1920, 1921, 2047, 2048, 2049, 2176, 16 << 20)
    )


def test_edges_are_looked_at_in_the_machines_own_steps() -> None:
    assert boundaries([2 * GIB], 256 * MIB, 64 * GIB) == tuple(
        size * MIB for size in (512, 1792, 2048, 2304, 64 << 10)
    )


@given(st.lists(st.integers(0, 1 << 50)), st.sampled_from([MIB, 256 * MIB]))
def test_no_boundary_is_a_machine_that_cannot_be(edges: list[int], step: int) -> None:
    sizes = boundaries(edges, step)
    assert all(SMALLEST <= size <= LARGEST and size % step == 0 for size in sizes)
    assert sorted(set(sizes)) == list(sizes)


@pytest.mark.parametrize("memory", [0, -MIB, MIB + 1])
def test_memory_of_no_machine_is_refused(memory: int) -> None:
    with pytest.raises(BadInput, match="bytes of memory"):
        expect(case("256M", memory), SIX_1, X86_64)


def test_rows_say_what_was_expected_and_what_was_said() -> None:
    row = json.loads(as_json([answer("192M", 2 * GIB, OF_6_1)]))[0]
    assert row["expected"] == [{"main": 192 * MIB, "low": 0, "cma": 0}]
    assert row["reserved"] == {
        "main": 256 * MIB, "main_at": 1776 * MIB, "low": 0, "low_at": None, "cma": 0
    }  # fmt: skip
    assert row["agrees"] is False
    assert row["kernel_says"] == [OF_6_1]


def test_cma_agrees_unless_the_kernel_was_built_without() -> None:
    asked = expect(case("256M crashkernel=64M,cma", 2 * GIB), generation_of("7.2.0", "x86_64"), X86_64)
    with_cma = f"{OF_6_12}\ncrashkernel CMA reserved: 64 MB in 1 ranges"
    short = f"{OF_6_12}\ncrashkernel CMA reservation failed: 64 MB requested, 32 MB reserved in 2 ranges"
    without = f"{OF_6_12}\ncrashkernel CMA reservation not supported"
    verdicts = [Answer(asked, parse_boot_log(said)).agrees for said in (with_cma, short, without, OF_6_12)]
    assert verdicts == [True, False, True, False]


def test_table_has_a_heading_per_setting() -> None:
    asked: list[Expectation | Answer] = [
        answer("192M", 2 * GIB, OF_6_1),
        answer("256M", 2 * GIB, OF_6_1),
        Answer(expect(case("auto", 2 * GIB), EL8, X86_64), parse_boot_log("")),
        expect(case("auto", 2 * GIB), EL8, X86_64),
    ]
    heading, wrong, _, right, _, unknown, foretold = as_table(asked).splitlines()
    assert heading == "crashkernel=192M"
    assert "DISAGREES" in wrong
    assert " agrees " in right
    assert "says nothing" in unknown
    assert "the kernel chooses" in foretold
