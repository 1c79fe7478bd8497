"""Flattened files: every record is walked, and only the end marker ends them."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.errors import BadInput
from kdump_tests.unit.vmcore.dumps import END_MARKER, flat_record, flattened
from kdump_tests.vmcore import flattened as flattened_module
from kdump_tests.vmcore.flattened import FlattenedFile
from kdump_tests.vmcore.flaw import Torn
from kdump_tests.vmcore.image import open_file

IMAGE = bytes(range(256)) * 4
HEADER = flattened(b"")[:4096]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vmcore.flat"


def flaw_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with open_file(path) as file:
        return str(FlattenedFile(file).flaw or "")


def read(path: Path, data: bytes, start: int, size: int) -> bytes:
    path.write_bytes(data)
    with open_file(path) as file:
        return FlattenedFile(file).read(start, size)


@pytest.mark.parametrize(("start", "size"), [(0, 1024), (99, 2), (100, 100), (1023, 1), (7, 0)])
def test_a_read_crosses_records(path: Path, start: int, size: int) -> None:
    assert read(path, flattened(IMAGE, record=100), start, size) == IMAGE[start : start + size]


@given(st.permutations(range(8)))
def test_records_in_any_order_are_the_same_image(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    path = tmp_path_factory.mktemp("flat") / "vmcore.flat"
    records = [flat_record(i * 128, IMAGE[i * 128 : (i + 1) * 128]) for i in order]
    assert read(path, b"".join([HEADER, *records, END_MARKER]), 0, 1024) == IMAGE


def test_a_record_written_again_replaces_the_first(path: Path) -> None:
    records = flat_record(0, b"old") + flat_record(3, b"tail") + flat_record(0, b"new")
    assert read(path, HEADER + records + END_MARKER, 0, 7) == b"newtail"


def test_a_hole_between_records_cannot_be_read(path: Path) -> None:
    with pytest.raises(Torn, match="byte at 3"):
        read(path, HEADER + flat_record(0, b"abc") + flat_record(5, b"fgh") + END_MARKER, 0, 8)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"", "no end marker: it stops after 0 records"),
        (flat_record(0, b"abc"), "no end marker: it stops after 1 records"),
        (flat_record(0, b"abc") + END_MARKER[:15], "no end marker"),
        (flat_record(0, b"abc")[:-1], "ends inside"),
        (struct.pack(">qq", 0, 1 << 60), "ends inside"),
        (struct.pack(">qq", 0, 0) + END_MARKER, "0 bytes for offset 0"),
        (struct.pack(">qq", -1, 5) + END_MARKER, "offset -1"),
        (struct.pack(">qq", 5, -1) + END_MARKER, "-1 bytes"),
        (struct.pack(">qq", (1 << 63) - 1, 1) + b"x" + END_MARKER, "cannot be"),
        (flat_record(0, b"abc") + flat_record(2, b"cd") + END_MARKER, "overlap at 2"),
    ],
)
def test_a_damaged_file_says_why(path: Path, records: bytes, reason: str) -> None:
    assert reason in flaw_of(path, HEADER + records)


@pytest.mark.parametrize("position", [16, 24])
def test_another_type_or_version_is_not_read(path: Path, position: int) -> None:
    data = bytearray(flattened(IMAGE))
    data[position + 7] = 2
    assert "only 1 and 1 exist" in flaw_of(path, bytes(data))


def test_what_lies_behind_the_end_marker_is_not_the_dumps(path: Path) -> None:
    assert flaw_of(path, flattened(IMAGE) + bytes(512)) == ""


def test_a_file_of_tiny_records_takes_no_more_memory_than_a_dump(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flattened_module, "MAX_RECORDS", 10)
    with pytest.raises(BadInput, match="more than 10 flattened records") as caught:
        flaw_of(path, flattened(IMAGE, record=1))
    assert "makedumpfile -R" in caught.value.facts["way out"]
