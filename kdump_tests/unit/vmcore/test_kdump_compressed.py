"""kdump-compressed: nothing in a header, bitmap or descriptor can be wrong and pass for complete."""

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.unit.vmcore.dumps import NOTES_AT, PAGE, PAGES, SUB_HEADER_AT, VMCOREINFO, KdumpCompressed
from kdump_tests.vmcore import kdump_compressed
from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import PlainFile

DUMP = KdumpCompressed()


@dataclass(frozen=True)
class Bytes:
    """An image in memory."""

    data: bytes

    def read(self, offset: int, size: int) -> bytes:
        if self.first_missing(offset, offset + size) is not None:
            raise Torn("not there")
        return self.data[offset : offset + size]

    def first_missing(self, start: int, end: int) -> int | None:
        return None if end <= len(self.data) else max(start, len(self.data))


def flaw_of(image: bytes) -> str:
    return str(kdump_compressed.shape(Bytes(image)).flaw or "")


def flaw_or_refusal(image: bytes) -> str:
    try:
        return flaw_of(image)
    except Flaw as refusal:
        return str(refusal)


def zeroed(image: bytes, start: int, end: int) -> bytes:
    return image[:start] + bytes(end - start) + image[end:]


def lying(form: str, offset: int, *values: int) -> bytes:
    """The dump with other values in a header's field."""
    image = bytearray(DUMP.image)
    struct.pack_into(form, image, offset, *values)
    return bytes(image)


def test_the_story_dump_has_no_flaw() -> None:
    assert flaw_of(DUMP.image) == ""


@given(st.data())
def test_zeros_among_bitmaps_and_descriptors_are_never_complete(data: st.DataObject) -> None:
    start = data.draw(st.integers(DUMP.bitmap_1, DUMP.pages_at - 1))
    end = data.draw(st.integers(start + 1, DUMP.pages_at))
    damaged = zeroed(DUMP.image, start, end)
    assert damaged == DUMP.image or flaw_of(damaged)


@pytest.mark.parametrize("descriptor", range(len(PAGES)))
@pytest.mark.parametrize(
    "field", [slice(0, 8), slice(0, 1), slice(1, 2), slice(8, 12), slice(0, 24)], ids=str
)
def test_zeros_in_any_field_of_any_descriptor_are_never_complete(descriptor: int, field: slice) -> None:
    at = DUMP.descriptors + 24 * descriptor
    damaged = zeroed(DUMP.image, at + field.start, at + field.stop)
    assert damaged == DUMP.image or flaw_of(damaged)


@given(st.integers(DUMP.bitmap_2, DUMP.pages_at - 1), st.integers(0, 7))
def test_a_flipped_bit_among_bitmap_and_descriptors_is_never_complete(at: int, bit: int) -> None:
    changed = bytes([DUMP.image[at] ^ 1 << bit])
    unused = range(DUMP.bitmap_2 + 2, DUMP.descriptors)  # of the second bitmap's block
    page_flags = at >= DUMP.descriptors and (at - DUMP.descriptors) % 24 >= 16
    assert flaw_of(DUMP.image[:at] + changed + DUMP.image[at + 1 :]) or at in unused or page_flags


@given(st.data())
def test_zeros_in_the_headers_never_raise_anything_else(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, DUMP.bitmap_1 - 1))
    flaw_or_refusal(zeroed(DUMP.image, start, data.draw(st.integers(start + 1, DUMP.bitmap_1))))


@given(st.binary(max_size=2000))
def test_noise_behind_the_signature_never_raises_anything_else(noise: bytes) -> None:
    flaw_or_refusal(b"KDUMP   " + noise + DUMP.image[8 + len(noise) :])


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lying("<i", 8, 7), "version 7"),
        (lying(">i", 8, 6), "little-endian"),
        (lying("<I", 428, 0), "pages of 0 bytes"),
        (lying("<I", 428, 1 << 31), "pages of"),
        (lying("<i", 432, -1), "blocks of sub-header"),
        (lying("<I", 436, 0), "blocks for two bitmaps"),
        (lying("<I", 436, 3), "blocks for two bitmaps"),
        (lying("<I", 440, 17), "17 page frames"),
        (lying("<i", 460, 0), "0 CPUs"),
        (zeroed(DUMP.image, SUB_HEADER_AT, SUB_HEADER_AT + 104), "its sub-header 0"),
    ],
)
def test_headers_that_nobody_writes_are_refused(lie: bytes, reason: str) -> None:
    with pytest.raises(Flaw, match=reason):
        kdump_compressed.shape(Bytes(lie))


def test_memory_of_exabytes_is_refused_before_its_bitmap_is_read() -> None:
    image = bytearray(lying("<Q", SUB_HEADER_AT + 96, 1 << 52))
    struct.pack_into("<iI", image, 436, -2, 0xFFFFFFFF)
    with pytest.raises(Flaw, match="memory of 4503599627370496 pages"):
        kdump_compressed.shape(Bytes(bytes(image)))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lying("<I", 424, 1 | 8), "mark of an incomplete dump"),
        (lying("<I", 424, 0), "descriptor contradicts"),
        (lying("<I", 424, 2), "descriptor contradicts"),
        (lying("<I", 432, 0x7FFFFFFF), "within its bitmaps"),
        (lying("<I", 436, 0xFFFFFFFE), "within its bitmaps"),
        (lying("<i", SUB_HEADER_AT + 12, 1), "split"),
        (lying("<Q", SUB_HEADER_AT, 4096), "phys_base 4096"),
        (lying("<QQ", SUB_HEADER_AT + 32, 0, 0), "no VMCOREINFO"),
        (lying("<Q", SUB_HEADER_AT + 32, 1 << 62), "VMCOREINFO .* outside"),
        (lying("<Q", SUB_HEADER_AT + 40, 1 << 62), "bytes of VMCOREINFO"),
        (lying("<Q", SUB_HEADER_AT + 48, 0), "ELF notes .* outside"),
        (lying("<Q", SUB_HEADER_AT + 56, 0), "notes do not lead"),
        (lying("<Q", SUB_HEADER_AT + 56, (1 << 64) - 1), "ELF notes .* outside"),
        (lying("<QQ", SUB_HEADER_AT + 64, 1 << 62, 9), "before its eraseinfo"),
        (lying("<QQ", SUB_HEADER_AT + 64, 4200, 9), "among the pages"),
        (zeroed(DUMP.image, 12, 12 + 1), "header names"),
        (zeroed(DUMP.image, 12, 12 + 65), "header names"),
        (zeroed(DUMP.image, 12 + 130, 12 + 195), "header names b'Linux  #1 SMP x86_64'"),
        (zeroed(DUMP.image, 12 + 132, 12 + 133), "header names"),
        (zeroed(DUMP.image, 12 + 197, 12 + 198), "header names"),
        (KdumpCompressed(release="6.1.0-other").image, "header names b'Linux 6.1.0-other"),
        (KdumpCompressed(vmcoreinfo=VMCOREINFO.replace(b"PAGESIZE=4096", b"PAGESIZE=65536")).image, "65536"),
        (lying("<QII", DUMP.pages_at - 24, DUMP.pages_at + PAGE, 9, 1), "descriptor contradicts"),
        (zeroed(DUMP.image, 12 + 195, 12 + 260), "header names"),
        (zeroed(DUMP.image, 12 + 260, 12 + 325), "header names"),
        (zeroed(DUMP.image, NOTES_AT, NOTES_AT + 12), "notes do not lead"),
        (zeroed(DUMP.image, NOTES_AT + 400, NOTES_AT + 450), "VMCOREINFO is damaged"),
        (zeroed(DUMP.image, DUMP.bitmap_1, DUMP.bitmap_1 + 1), "does not exist"),
        (zeroed(DUMP.image, DUMP.bitmap_2, DUMP.bitmap_2 + 2), "no page was saved"),
        (zeroed(DUMP.image, DUMP.descriptors, DUMP.pages_at), "descriptor contradicts"),
        (DUMP.image[: DUMP.pages_at - 1], "descriptors of its 6 pages"),
        (DUMP.image[: DUMP.end - 1], "before its 6 pages do"),
    ],
)
def test_a_dump_that_is_not_whole_says_why(lie: bytes, reason: str) -> None:
    shape = kdump_compressed.shape(Bytes(lie))
    assert shape.flaw is not None
    with pytest.raises(Flaw, match=reason):
        raise shape.flaw


@pytest.mark.parametrize("status", [1, 2, 4, 0x20])
def test_pages_are_compressed_by_the_method_that_the_header_names(status: int) -> None:
    names = {1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd"}
    shape = kdump_compressed.shape(Bytes(KdumpCompressed(status=status, method=status).image))
    assert (shape.compression, shape.flaw) == ((names[status],), None)


def test_erased_symbols_behind_the_pages_belong_to_the_dump() -> None:
    image = KdumpCompressed(eraseinfo=b"erase secrets nullify\n").image
    assert flaw_of(image) == ""
    assert "before its eraseinfo" in flaw_of(image[:-1])


def test_pages_beyond_the_last_one_are_a_lie() -> None:
    dump = KdumpCompressed(max_mapnr=15)
    image = bytearray(dump.image)
    image[dump.bitmap_1 + 1] |= 0x80
    image[dump.bitmap_2 + 1] |= 0x80
    assert "beyond the last one, 14" in flaw_of(bytes(image))


def test_a_dump_that_qemu_took_names_its_machine_alone() -> None:
    assert flaw_of(zeroed(DUMP.image, 12, 12 + 260)) == ""


def test_a_dump_without_shared_zeros_is_complete() -> None:
    pages = {pfn: page for pfn, page in PAGES.items() if page != bytes(PAGE)}
    assert flaw_of(KdumpCompressed(pages).image) == ""


def test_a_dump_of_zeros_alone_is_complete() -> None:
    assert flaw_of(KdumpCompressed({1: bytes(PAGE), 7: bytes(PAGE)}).image) == ""


def test_a_negative_phys_base_is_the_same_in_both_places() -> None:
    vmcoreinfo = VMCOREINFO.replace(b"NUMBER(phys_base)=0", b"NUMBER(phys_base)=-4096")
    image = bytearray(KdumpCompressed(vmcoreinfo=vmcoreinfo).image)
    struct.pack_into("<q", image, SUB_HEADER_AT, -4096)
    assert flaw_of(bytes(image)) == ""


def test_the_bytes_of_pages_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vmcore"
    path.write_bytes(DUMP.image)
    ends = []
    with path.open("rb") as file:
        image = PlainFile(path, file.fileno(), len(DUMP.image))
        read = image.read

        def noted(offset: int, size: int) -> bytes:
            ends.append(offset + size)
            return read(offset, size)

        monkeypatch.setattr(image, "read", noted)
        assert kdump_compressed.shape(image).flaw is None
    assert max(ends) == DUMP.pages_at


@given(st.data())
def test_a_long_table_of_descriptors_is_followed_from_piece_to_piece(data: st.DataObject) -> None:
    at = data.draw(st.integers(DUMP.descriptors, DUMP.pages_at - 1))
    changed = bytearray(DUMP.image)
    changed[at] ^= data.draw(st.integers(0, 255))
    at_once = kdump_compressed.shape(Bytes(bytes(changed)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdump_tests.vmcore.pages._STEP", 2 * 24)
        in_pieces = kdump_compressed.shape(Bytes(bytes(changed)))
    assert (str(in_pieces.flaw), in_pieces.memory) == (str(at_once.flaw), at_once.memory)


def test_a_part_of_a_split_dump_is_proven_for_itself() -> None:
    """Frames 2, 3 and 5: their descriptors come first, the rest of the table stays empty."""
    image = bytearray(KdumpCompressed(split=1).image)
    struct.pack_into("<QQ", image, SUB_HEADER_AT + 80, 0, 9)
    image[DUMP.descriptors + 3 * 24 : DUMP.pages_at] = bytes(3 * 24)
    shape = kdump_compressed.shape(Bytes(bytes(image)))
    assert "holds the pages from 0 to 8; this part is whole" in str(shape.flaw)
    assert shape.part is not None
    assert shape.memory is not None
    assert (shape.memory.stored, shape.memory.zeros, shape.memory.covered) == (2, 1, 16)
    image[DUMP.descriptors + 24] ^= 1
    assert "contradicts" in str(kdump_compressed.shape(Bytes(bytes(image))).flaw)


@pytest.mark.parametrize(("first", "end"), [(9, 8), (0, 17), (1 << 63, 1 << 63)])
def test_a_part_of_no_dump_is_refused(first: int, end: int) -> None:
    image = bytearray(KdumpCompressed(split=1).image)
    struct.pack_into("<QQ", image, SUB_HEADER_AT + 80, first, end)
    with pytest.raises(Flaw, match="claims the part"):
        kdump_compressed.shape(Bytes(bytes(image)))


@pytest.mark.parametrize(
    ("frames", "absent"), [(range(16), None), (range(5, 9), None), (range(17), 16), (range(40, 50), 40)]
)
def test_frames_beyond_the_last_are_absent(frames: range, absent: int | None) -> None:
    assert kdump_compressed.first_absent(Bytes(DUMP.image), frames) == absent


@given(st.integers(0, 15), st.integers(0, 15), st.integers(1, 16))
def test_the_first_absent_frame_is_found(zero: int, start: int, size: int) -> None:
    image = bytearray(DUMP.image)
    image[DUMP.bitmap_1 + zero // 8] ^= 1 << zero % 8
    frames = range(start, min(start + size, 16))
    assert kdump_compressed.first_absent(Bytes(bytes(image)), frames) == (zero if zero in frames else None)


def test_saved_frames_are_those_of_the_second_bitmap() -> None:
    assert list(kdump_compressed.saved_frames(Bytes(DUMP.image))) == sorted(PAGES)


def test_memory_in_more_pieces_than_a_machine_has_is_damage() -> None:
    """Frames of which nothing was saved: no descriptor tells of them."""
    dump = KdumpCompressed(max_mapnr=1 << 16)
    image = bytearray(dump.image)
    image[dump.bitmap_1 + PAGE : dump.bitmap_1 + 2 * PAGE] = b"\x55" * PAGE
    assert "memory in 16384 pieces" in flaw_of(bytes(image))
    image[dump.bitmap_1 + PAGE : dump.bitmap_1 + 2 * PAGE] = b"\x0f\0" * (PAGE // 2)
    assert flaw_of(bytes(image)) == ""
