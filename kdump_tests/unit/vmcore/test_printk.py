"""The log as it lies in the printk ring, read as the kernel's own reader reads it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.unit.vmcore.rings import (
    COMMITTED,
    EMPTY_LINE,
    FAILED,
    FINALIZED,
    RESERVED,
    REUSABLE,
    SyntheticRing,
)
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.printk import kernel_log
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo


def log_of(ring: SyntheticRing, **changes: str) -> list[str]:
    return list(kernel_log(ring.read, Vmcoreinfo(ring.vmcoreinfo() | changes)))


def texts_of(ring: SyntheticRing) -> list[str]:
    return [line.partition("] ")[2] for line in log_of(ring)]


def ring_of(*texts: bytes) -> SyntheticRing:
    ring = SyntheticRing()
    for text in texts:
        ring.say(text)
    return ring


def test_lines_look_as_dmesg_prints_them() -> None:
    ring = SyntheticRing()
    ring.say(b"Linux version 6.1.0", at=0.0)
    ring.say(b"sysrq: Trigger a crash", at=136.170362)
    ring.say(b"a year later", at=31_536_000.5)
    assert log_of(ring) == [
        "[    0.000000] Linux version 6.1.0",
        "[  136.170362] sysrq: Trigger a crash",
        "[31536000.500000] a year later",
    ]


def test_each_line_of_a_record_has_its_time() -> None:
    assert log_of(ring_of(b"first\nsecond")) == ["[    1.000000] first", "[    1.000000] second"]


def test_a_line_still_open_when_the_kernel_died_is_read() -> None:
    ring = ring_of(b"done")
    ring.say(b"continued", state=COMMITTED)
    assert texts_of(ring) == ["done", "continued"]


@pytest.mark.parametrize("state", [RESERVED, REUSABLE])
def test_a_record_without_text_is_passed_over(state: int) -> None:
    ring = ring_of(b"before")
    ring.say(b"half writ", state=state)
    ring.say(b"after")
    assert texts_of(ring) == ["before", "after"]


def test_a_record_that_found_no_room_is_passed_over() -> None:
    ring = ring_of(b"before")
    ring.say(b"", blockless=FAILED)
    ring.say(b"after")
    assert texts_of(ring) == ["before", "after"]


def test_an_empty_line_is_a_line() -> None:
    ring = ring_of(b"before")
    ring.say(b"", blockless=EMPTY_LINE)
    assert texts_of(ring) == ["before", ""]


def test_a_block_that_does_not_fit_before_the_end_is_read_at_the_start() -> None:
    ring = ring_of(b"a" * 480, b"b" * 40)
    assert texts_of(ring) == ["b" * 40]


def test_a_block_that_ends_with_the_ring_is_not_wrapped() -> None:
    assert texts_of(ring_of(b"a" * 256, b"b" * 240)) == ["a" * 256, "b" * 240]


def test_text_overwritten_by_a_later_record_is_not_told_as_the_earlier_ones() -> None:
    ring = ring_of(*(bytes([ord("a") + i]) * 100 for i in range(8)))
    assert texts_of(ring) == ["e" * 100, "f" * 100, "g" * 100, "h" * 100]


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=60))
def test_a_ring_gone_round_keeps_its_newest_records(texts: list[bytes]) -> None:
    printable = [text.hex().encode() for text in texts]
    kept = texts_of(ring_of(*printable))
    assert kept == [text.decode() for text in printable[-len(kept) :]]
    assert len(kept) >= min(8, len(texts))


def test_a_slot_that_another_record_took_is_passed_over() -> None:
    ring = ring_of(b"kept", b"taken")
    state = 0x1000 + 40 * ((ring.first_id + 1) % 16) + 16
    ring.memory[state : state + 8] = (FINALIZED << 62 | ring.first_id + 17).to_bytes(8, "little")
    assert texts_of(ring) == ["kept"]


def test_ids_wrap_around_their_62_bits() -> None:
    ring = SyntheticRing(first_id=(1 << 62) - 2)
    for text in (b"one", b"two", b"three", b"four"):
        ring.say(text)
    assert texts_of(ring) == ["one", "two", "three", "four"]


def test_a_text_longer_than_its_block_ends_with_the_block() -> None:
    ring = ring_of(b"12345678")
    slot = 0x2000 + 56 * (ring.first_id % 16)
    ring.memory[slot + 40 : slot + 42] = b"\xff\xff"
    assert texts_of(ring) == ["12345678"]


def test_what_no_terminal_should_see_is_escaped() -> None:
    assert texts_of(ring_of(b"\x1b[31mred\x00 caf\xc3\xa9 \xff\ttab")) == [
        "\\x1b[31mred\\x00 café \\xff\ttab"
    ]


@pytest.mark.parametrize("missing", sorted(SyntheticRing().vmcoreinfo()))
def test_a_line_missing_from_vmcoreinfo_is_named(missing: str) -> None:
    ring = ring_of(b"text")
    with pytest.raises(Flaw) as caught:
        list(kernel_log(ring.read, Vmcoreinfo({k: v for k, v in ring.vmcoreinfo().items() if k != missing})))
    assert str(caught.value) == f"its VMCOREINFO has no {missing}"


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"SIZE(prb_desc)": "8"}, "outside their structures"),
        ({"SIZE(printk_info)": "0"}, "outside their structures"),
        ({"SIZE(prb_desc)": "9" * 30}, "which cannot be"),
        ({"OFFSET(printk_info.text_len)": "-1"}, "which cannot be"),
        ({"SYMBOL(prb)": "here"}, "no number"),
        ({"SYMBOL(prb)": "9" * 5000}, "cannot be"),
    ],
)
def test_a_vmcoreinfo_that_lies_is_found_out(lie: dict[str, str], reason: str) -> None:
    with pytest.raises(Flaw, match=reason):
        log_of(ring_of(b"text"), **lie)


@pytest.mark.parametrize(("records", "size"), [(40, 9), (4, 60), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_ring_larger_than_any_kernels_is_not_read(records: int, size: int) -> None:
    ring = ring_of(b"text")
    ring.count_bits, ring.size_bits = records, size
    with pytest.raises(Flaw, match="claims 2"):
        log_of(ring)


def test_a_tail_further_from_the_head_than_the_ring_is_long_is_damage() -> None:
    ring = ring_of(b"text")
    ring.tail_id = ring.first_id - 16
    with pytest.raises(Flaw, match="claims 17 records and has room for 16"):
        log_of(ring)


def test_a_log_of_lies_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdump_tests.vmcore.printk._MAX_LOG", 200)
    assert len(log_of(ring_of(b"123456", b"123456"))) == 2
    for lies in ((b"123456", b"123456", b"123456"), (b"\n" * 6,)):  # each line costs, also an empty one
        with pytest.raises(Flaw, match="longer than 200 bytes"):
            log_of(ring_of(*lies))


@given(st.binary(min_size=64, max_size=300), st.integers(0, 0x3FFF))
def test_noise_in_the_ring_is_text_or_a_flaw(noise: bytes, at: int) -> None:
    ring = ring_of(b"one", b"two")
    memory = bytearray(ring.finished())
    memory[at : at + len(noise)] = noise

    def read(address: int, size: int) -> bytes:
        if not 0 <= address - ring.base <= address - ring.base + size <= len(memory):
            raise Flaw("memory is not in the dump")
        return bytes(memory[address - ring.base :][:size])

    with suppress(Flaw):
        assert all(
            line.isprintable() or "\t" in line for line in kernel_log(read, Vmcoreinfo(ring.vmcoreinfo()))
        )
