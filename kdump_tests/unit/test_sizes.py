"""Memory sizes: as the kernel reads them, and back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.errors import BadInput
from kdump_tests.sizes import format_size, parse_size


@given(st.integers(0, 2**64))
def test_every_size_is_read_as_it_was_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text() | st.from_regex(r"\A-?[0-9a-fx.]{0,5}[kmgtpeiB]{0,2}\Z"))
def test_a_text_is_a_size_or_bad_input(text: str) -> None:
    with suppress(BadInput):
        assert parse_size(text) >= 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 << 20), ("1g", 1 << 30), ("0x10000000", 1 << 28), ("0X1k", 1024), (" 2G ", 2 << 30),
     ("0", 0), ("1T", 1 << 40), ("1P", 1 << 50), ("1E", 1 << 60), ("1000", 1000)],
)  # fmt: skip
def test_suffixes_are_steps_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "banana", "-1G", "1.5G", "1GB", "1 G", "G", "0x", "1\u212a", "\u0661G", "1_000", "9" * 21]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a memory size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(2 << 30, "2G"), ((2 << 30) - (1 << 20), "2047M"), (1000, "1000"), (0, "0")]
)
def test_the_shortest_exact_form_is_written(size: int, text: str) -> None:
    assert format_size(size) == text
