"""The log as kernels before 5.10 kept it."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.unit.vmcore.crashed_machine import crashed_machine
from kdump_tests.unit.vmcore.rings import SyntheticRecords
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.inspection import inspect
from kdump_tests.vmcore.printk_log import printk_log
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo


def records_of(*texts: bytes, name: str = "printk_log") -> SyntheticRecords:
    records = SyntheticRecords(name=name)
    for text in texts:
        records.say(text)
    return records


def log_of(records: SyntheticRecords, **changes: str) -> list[str]:
    return list(printk_log(records.read, Vmcoreinfo(records.vmcoreinfo() | changes)))


@pytest.mark.parametrize("name", ["log", "printk_log"])
def test_lines_look_as_dmesg_prints_them(name: str) -> None:
    records = SyntheticRecords(name=name)
    records.say(b"Linux version 4.19.0", at=0.0)
    records.say(b"SysRq : Trigger a crash\nsecond\x1b", at=136.170362)
    assert log_of(records) == [
        "[    0.000000] Linux version 4.19.0",
        "[  136.170362] SysRq : Trigger a crash",
        "[  136.170362] second\\x1b",
    ]


def test_it_is_read_out_of_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "vmcore"
    records = records_of(b"Kernel panic - not syncing: an old one")
    path.write_bytes(crashed_machine(records).image)
    core = inspect(path)
    assert (core.complete, core.panic_message) == (True, "an old one")


def test_an_empty_log_has_no_lines() -> None:
    assert log_of(SyntheticRecords()) == []


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=60))
def test_a_buffer_gone_round_keeps_its_newest_records(texts: list[bytes]) -> None:
    printable = [text.hex().encode() for text in texts]
    kept = [line.partition("] ")[2] for line in log_of(records_of(*printable))]
    assert kept == [text.decode() for text in printable[-len(kept) :]]
    assert len(kept) >= min(3, len(texts))


@pytest.mark.parametrize(
    ("place", "number", "reason"),
    [
        (8, 0xFFFFFFFF, "records from 0 to 72 of 4294967295 bytes"),
        (12, 513, "records from 513 to 72 of 512 bytes"),
        (16, 513, "records from 0 to 513 of 512 bytes"),
    ],
)
def test_a_buffer_that_cannot_be_is_damage(place: int, number: int, reason: str) -> None:
    records = records_of(b"one", b"two and two")
    memory = bytearray(records.finished())
    memory[place : place + 4] = number.to_bytes(4, "little")
    with pytest.raises(Flaw, match=reason):
        list(printk_log(lambda at, size: bytes(memory[at - records.base :][:size]), _told(records)))


@pytest.mark.parametrize(
    ("length", "reason"), [(8, "record of 8 bytes at 0"), (0xFFFF, "record of 65535 bytes")]
)
def test_a_record_that_cannot_be_is_damage(length: int, reason: str) -> None:
    records = records_of(b"one")
    records.memory[0x1000 + 12 : 0x1000 + 14] = length.to_bytes(2, "little")
    with pytest.raises(Flaw, match=reason):
        log_of(records)


@pytest.mark.parametrize("missing", sorted(SyntheticRecords().vmcoreinfo()))
def test_a_line_missing_from_vmcoreinfo_is_named(missing: str) -> None:
    records = records_of(b"text")
    told = records.vmcoreinfo()
    del told[missing]
    with pytest.raises(Flaw, match="its VMCOREINFO has no"):
        list(printk_log(records.read, Vmcoreinfo(told)))


def test_members_outside_the_record_are_a_lie() -> None:
    with pytest.raises(Flaw, match="outside it"):
        log_of(records_of(b"text"), **{"OFFSET(printk_log.ts_nsec)": "20"})


@given(st.binary(min_size=1, max_size=200), st.integers(0, 0x11FF))
def test_noise_in_the_buffer_is_text_or_a_flaw(noise: bytes, at: int) -> None:
    records = records_of(b"one", b"two")
    memory = bytearray(records.finished())
    memory[at : at + len(noise)] = noise

    def read(address: int, size: int) -> bytes:
        if not 0 <= address - records.base <= address - records.base + size <= len(memory):
            raise Flaw("memory is not in the dump")
        return bytes(memory[address - records.base :][:size])

    with suppress(Flaw):
        assert all(line.isprintable() or "\t" in line for line in printk_log(read, _told(records)))


def _told(records: SyntheticRecords) -> Vmcoreinfo:
    return Vmcoreinfo(records.vmcoreinfo())
