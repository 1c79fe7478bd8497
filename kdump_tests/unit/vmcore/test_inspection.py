"""The facts of a dump are what lies in it, and a dump is complete only when that is proven."""

import logging
import os
import pickle
from pathlib import Path

import pytest

from kdump_tests.errors import BadDump, BadInput
from kdump_tests.unit.vmcore.crashed_machine import crashed_machine
from kdump_tests.unit.vmcore.dumps import RELEASE, VMCOREINFO, KdumpCompressed, elf_core, flattened
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.vmcore.inspection import Vmcore, inspect
from kdump_tests.vmcore.shape import Format

KDUMP = KdumpCompressed().image
DUMPS = {
    "kdump-compressed": KDUMP,
    "flattened kdump-compressed": flattened(KDUMP),
    "elf": elf_core(),
    "elf with more segments than its header can count": elf_core(extended=True),
    "flattened elf": flattened(elf_core(), record=1000),
}
any_dump = pytest.mark.parametrize("dump", DUMPS.values(), ids=DUMPS.keys())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vmcore"


def inspected(path: Path, dump: bytes) -> Vmcore:
    path.write_bytes(dump)
    return inspect(path)


def called_complete(path: Path) -> bool:
    try:
        return inspect(path).complete
    except BadDump:
        return False


def cuts_called_complete(path: Path, dump: bytes) -> list[int]:
    """The lengths at which a dump, cut byte by byte from its end, passes for a complete one."""
    path.write_bytes(dump)
    wrong = []
    for length in range(len(dump) - 1, -1, -1):
        os.truncate(path, length)
        if called_complete(path):
            wrong.append(length)
    return wrong


def program_that_raises(error: Exception) -> type:
    """What stands in for drgn.Program."""

    class Program:
        def set_core_dump(self, _: Path) -> None:
            raise error

    return Program


@any_dump
def test_a_whole_dump_is_complete(path: Path, dump: bytes) -> None:
    core = inspected(path, dump)
    assert core.complete
    assert core.incomplete_because == ""
    assert core.size == len(dump)
    assert core.kernel_release == RELEASE
    assert core.build_id == "00c0ffee"
    assert core.crash_time == 1700000000


@any_dump
def test_a_dump_cut_at_any_byte_is_never_complete(path: Path, dump: bytes) -> None:
    assert cuts_called_complete(path, dump) == []


@any_dump
def test_a_cut_dump_still_tells_what_it_can(path: Path, dump: bytes) -> None:
    core = inspected(path, dump[:-100])
    assert not core.complete
    assert core.incomplete_because
    assert core.kernel_release == RELEASE


def test_the_format_is_read_from_the_content() -> None:
    elf, kdump = Format.ELF, Format.KDUMP_COMPRESSED
    assert (str(elf), str(kdump)) == ("elf", "kdump-compressed")


def test_a_flattened_dump_is_told_from_a_plain_one(path: Path) -> None:
    plain, flat = inspected(path, KDUMP), inspected(path, flattened(KDUMP))
    assert (plain.flattened, flat.flattened) == (False, True)
    assert plain.format == flat.format == Format.KDUMP_COMPRESSED
    assert plain.compression == flat.compression == ("zlib",)


def test_facts_travel_to_another_host(path: Path) -> None:
    core = inspected(path, KDUMP)
    assert pickle.loads(pickle.dumps(core)) == core  # noqa: S301 - our own bytes


@pytest.mark.parametrize("flatten", [bytes, flattened], ids=["plain", "flattened"])
def test_the_log_is_read_out_of_the_memory_in_the_dump(path: Path, flatten: type[bytes]) -> None:
    ring = SyntheticRing()
    ring.say(b"kdump-verify nonce 1234", at=135.753194)
    ring.say(b"Kernel panic - not syncing: sysrq triggered crash", at=136.171070)
    core = inspected(path, flatten(crashed_machine(ring).image))
    assert core.complete
    assert core.kernel_log[0] == "[  135.753194] kdump-verify nonce 1234"
    assert core.panic_message == "sysrq triggered crash"
    assert core.kernel_log_missing_because == ""


def test_the_last_panic_counts(path: Path) -> None:
    ring = SyntheticRing()
    ring.say(b"Kernel panic - not syncing: said by a program that read too much")
    ring.say(b"Kernel panic - not syncing: Fatal exception in interrupt")
    assert inspected(path, crashed_machine(ring).image).panic_message == "Fatal exception in interrupt"


def test_an_oops_that_went_to_kdump_directly_has_no_panic_message(path: Path) -> None:
    ring = SyntheticRing()
    ring.say(b"BUG: kernel NULL pointer dereference, address: 0000000000000000")
    core = inspected(path, crashed_machine(ring).image)
    assert core.kernel_log
    assert core.panic_message is None


def test_a_kernel_without_a_printk_ring_has_no_log_and_says_so(path: Path) -> None:
    core = inspected(path, KDUMP)
    assert core.kernel_log == ()
    assert "does not describe its log; Linux does since 3.5" in core.kernel_log_missing_because


def test_memory_lost_with_the_end_of_a_dump_is_a_reason_not_a_crash(path: Path) -> None:
    ring = SyntheticRing()
    ring.say(b"lost")
    machine = crashed_machine(ring)
    core = inspected(path, machine.image[: machine.pages_at + 4100])
    assert not core.complete
    assert core.kernel_log == ()
    assert "memory at 0xffffffff81010000 cannot be read" in core.kernel_log_missing_because


def test_memory_that_is_not_where_its_page_tables_lead_is_not_complete(path: Path) -> None:
    """As many bits as before, and every page in the file: only the kernel's own tables can tell."""
    ring = SyntheticRing()
    ring.say(b"somewhere")
    machine = crashed_machine(ring)
    moved = bytearray(machine.image)
    used = slice(machine.bitmap_2 + 0x200, machine.bitmap_2 + 0x204)
    moved[used] = bytes(moved[used][::-1])
    assert moved != machine.image
    assert "cannot be read where its page tables lead" in inspected(path, bytes(moved)).incomplete_because


def test_memory_that_the_firmware_told_of_must_be_in_the_dump(path: Path) -> None:
    ring = SyntheticRing()
    ring.say(b"BIOS-e820: [mem 0x0000000000100000-0x0000000001003fff] usable")
    machine = crashed_machine(ring)
    assert inspected(path, machine.image).complete
    lost = bytearray(machine.image)
    lost[machine.bitmap_1 + 0x100 : machine.bitmap_1 + 0x140] = bytes(0x40)
    assert "its first bitmap has no page frame 2048" in inspected(path, bytes(lost)).incomplete_because


def test_a_dump_that_lies_is_given_to_no_other_tool(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = SyntheticRing()
    ring.say(b"never read")
    machine = crashed_machine(ring)
    lie = bytearray(machine.image)
    lie[machine.descriptors + 24 : machine.descriptors + 32] = b"\xff" * 8
    monkeypatch.setattr("drgn.Program", pytest.fail)
    core = inspected(path, bytes(lie))
    assert not core.complete
    assert "contradicts" in core.kernel_log_missing_because


@pytest.mark.parametrize("error", [ValueError, OSError, LookupError, OverflowError, Exception])
def test_a_dump_that_drgn_refuses_has_no_log_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr("drgn.Program", program_that_raises(error("not for me")))
    core = inspected(path, crashed_machine(SyntheticRing()).image)
    assert core.complete
    assert core.kernel_log_missing_because == "drgn cannot open it: not for me"


def test_a_bug_on_the_way_to_drgn_is_not_a_fact_of_the_dump(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drgn.Program", program_that_raises(TypeError("wrong argument")))
    with pytest.raises(TypeError):
        inspected(path, crashed_machine(SyntheticRing()).image)


def test_drgns_advice_on_flattened_files_is_not_heard(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = SyntheticRing()
    ring.say(b"quiet")
    with caplog.at_level(logging.DEBUG):
        inspected(path, flattened(crashed_machine(ring).image))
    assert "flattened" not in caplog.text


def test_a_text_file_is_no_dump(path: Path) -> None:
    with pytest.raises(BadDump, match="starts with b'vmcore s'") as caught:
        inspected(path, b"vmcore status: saved successfully\n")
    assert list(caught.value.facts) == ["path", "reason", "way out"]


def test_an_empty_file_is_no_dump(path: Path) -> None:
    with pytest.raises(BadDump, match="is empty"):
        inspected(path, b"")


def test_a_directory_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(BadDump, match="not a regular file"):
        inspect(tmp_path)


def test_a_fifo_is_no_dump_and_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(BadDump, match="not a regular file"):
        inspect(path)


def test_a_missing_file_says_nothing_about_the_product(path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        inspect(path)


def test_a_dump_of_roots_says_nothing_about_the_product(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadInput, match="may not be read") as caught:
        inspect(path)
    assert "root" in caught.value.facts["way out"]


@pytest.mark.parametrize("size", [1, 8, 100, 463, 4096, 4199])
def test_a_dump_cut_within_its_headers_is_no_dump(path: Path, size: int) -> None:
    with pytest.raises(BadDump):
        inspected(path, KDUMP[:size])


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "9" * 5000])
def test_a_crash_time_that_is_none_is_none(path: Path, text: str) -> None:
    vmcoreinfo = VMCOREINFO.replace(b"CRASHTIME=1700000000", f"CRASHTIME={text}".encode())
    core = inspected(path, KdumpCompressed(vmcoreinfo=vmcoreinfo).image)
    assert core.crash_time is None
