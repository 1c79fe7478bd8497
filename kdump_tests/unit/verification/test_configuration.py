"""A dump is held against the options that makedumpfile was asked to be called with."""

from types import SimpleNamespace
from typing import cast

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.verification import test_configuration as suite
from kdump_tests.vmcore.shape import Memory


def crash_with(dump_level: int | None, *, left_out: int, zeros: int | None = 50) -> Crash:
    memory = Memory(
        4096, covered=1000, stored=1000 - left_out - (zeros or 0), zeros=zeros, left_out=left_out
    )
    return cast(Crash, SimpleNamespace(dump=SimpleNamespace(vmcore=SimpleNamespace(
        memory=memory, dump_level=dump_level, format="kdump-compressed"))))  # fmt: skip


@pytest.mark.parametrize("levels", [(), (0,), (1,)])
def test_pages_missing_at_a_level_that_keeps_all_fail(levels: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        suite.test_dump_holds_all_pages_that_its_level_keeps(
            Makedumpfile(levels), crash_with(levels[0] if levels else 0, left_out=1)
        )


def test_a_makedumpfile_that_finds_none_of_the_kind_passes_where_the_header_tells_the_level() -> None:
    suite.test_dump_holds_all_pages_that_its_level_keeps(Makedumpfile((17,)), crash_with(17, left_out=0))


def test_an_elf_file_of_which_nothing_is_left_out_was_not_filtered() -> None:
    with pytest.raises(AssertionError):
        suite.test_dump_holds_all_pages_that_its_level_keeps(
            Makedumpfile((31,), elf=True), crash_with(None, left_out=0, zeros=None)
        )


@pytest.mark.parametrize("levels", [(0,), (31,)])
def test_an_elf_file_as_it_was_asked_for_passes(levels: tuple[int, ...]) -> None:
    suite.test_dump_holds_all_pages_that_its_level_keeps(
        Makedumpfile(levels, elf=True), crash_with(None, left_out=900 if levels == (31,) else 0, zeros=None)
    )
