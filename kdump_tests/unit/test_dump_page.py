"""kdump-verify inspect: its page, its JSON, its exit status."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.cli import main
from kdump_tests.unit.vmcore.crashed_machine import FIRST, crashed_machine, machine_with_users
from kdump_tests.unit.vmcore.dumps import RELEASE, VMCOREINFO, KdumpCompressed, elf_core, flattened
from kdump_tests.unit.vmcore.rings import SyntheticRing


def panicked(*texts: bytes) -> bytes:
    ring = SyntheticRing()
    for text in texts:
        ring.say(text)
    return crashed_machine(ring).image


WHOLE = panicked(b"CPU: 0 PID: 1 Tainted: G  W O  6.1.0-story", b"Kernel panic - not syncing: out of luck")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(WHOLE)
    return path


def page_of(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """The rows of the page by their names."""
    main(["inspect", str(path), *options])
    lines = capsys.readouterr().out.splitlines()
    return {line[2:14].strip(): line[15:] for line in lines if line.startswith("  ")}


def test_page_has_the_facts(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(path)]) == 0
    page = capsys.readouterr().out
    for words in (
        "complete     yes: its headers",
        "format       kdump-compressed, pages compressed by zlib",
        f"kernel       {RELEASE}",
        "build ID     00c0ffee",
        "crash time   2023-11-14 22:13:20 UTC",
        "panic        out of luck",
        "taints       W (warning before), O (module from outside the kernel's tree)",
        "dump level 31 leaves out zero pages, page cache, private page cache, user data, free pages",
        "[    1.000000] Kernel panic - not syncing: out of luck",
    ):
        assert words in page


def test_pages_are_counted_by_what_became_of_them(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(KdumpCompressed().image)
    page = page_of(path, capsys)
    assert page["memory"] == "16 pages, 64.0 KiB"
    assert page["stored"] == "4 pages, 16.0 KiB; and 2 pages of zeros"
    assert page["left out"].startswith("10 pages, 40.0 KiB; dump level 31")


def test_memory_of_a_core_is_counted_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(elf_core())
    page = page_of(path, capsys)
    assert (page["memory"], page["stored"]) == ("5 pages, 20.0 KiB", "3 pages, 12.0 KiB")
    assert page["left out"] == "2 pages, 8.0 KiB"


def test_pages_are_told_by_kind(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = {FIRST + 25: bytes(range(256)) * 16}
    path.write_bytes(machine_with_users(SyntheticRing(), users, dump_level=31).image)
    assert page_of(path, capsys)["kinds"] == (
        "free pages: 0 stored, 7 left out; user data: 0 stored, 1 left out; "
        "memory of the kernel's own: 24 stored, 0 left out"
    )
    main(["inspect", "--json", str(path)])
    (dump,) = json.loads(capsys.readouterr().out)
    counted = {kind.pop("kind"): kind for kind in dump["pages_by_kind"]}
    assert counted["user data"] == {"stored": 0, "left_out": 1}
    assert (dump["remarks"], dump["pages_by_kind_unknown_because"]) == ([], "")


def test_pages_that_an_older_makedumpfile_lost_are_told(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = machine_with_users(SyntheticRing(), {}, dump_level=31, loses_slab=True)
    path.write_bytes(dump.image)
    page = page_of(path, capsys)
    assert page["complete"].endswith("that dump level 31 keeps but for 1 pages, by its memory map")
    assert page["remark"].startswith("1 pages of the kernel's own are left out: this makedumpfile is older")


def test_pages_of_an_unknown_kernel_are_not_told_by_kind(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert page_of(path, capsys)["kinds"] == "not judged: its VMCOREINFO has no SIZE(mem_section)"


def test_pages_are_read_if_asked(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unpack" not in page_of(path, capsys)["complete"]
    assert page_of(path, capsys, "--pages")["complete"].endswith("all its pages unpack")
    damaged = bytearray(KdumpCompressed().image)
    damaged[-3:] = bytes(3)
    path.write_bytes(damaged)
    assert page_of(path, capsys)["complete"].startswith("yes")
    assert "is damaged" in page_of(path, capsys, "--pages")["complete"]


def test_only_the_end_of_a_long_log_is_told_unless_all_is_asked_for(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(panicked(*(b"line\nand its second" for _ in range(14))))
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.count("[    1.0") == 20
    assert main(["inspect", str(path), "--dmesg"]) == 0
    assert capsys.readouterr().out.count("[    1.0") == 28


@pytest.mark.parametrize(
    ("dumps", "status"),
    [
        ([WHOLE], 0),
        ([WHOLE[:-1]], 1),
        ([KdumpCompressed(split=1).image], 1),
        ([flattened(WHOLE)[:-16]], 1),
        ([b"text"], 2),
        ([b""], 2),
        ([WHOLE, WHOLE[:-1]], 1),
        ([b"text", WHOLE[:-1], WHOLE], 2),
    ],
)
def test_exit_status_is_that_of_the_worst(tmp_path: Path, dumps: list[bytes], status: int) -> None:
    paths = [tmp_path / f"vmcore.{number}" for number in range(len(dumps))]
    for path, dump in zip(paths, dumps, strict=True):
        path.write_bytes(dump)
    assert main(["inspect", *map(str, paths)]) == status
    assert main(["inspect", "--json", *map(str, paths)]) == status


def test_json_is_an_object_for_each_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = path.with_name("other")
    other.write_bytes(b"text")
    assert main(["inspect", "--json", "--dmesg", str(path), str(other)]) == 2
    dump, refused = json.loads(capsys.readouterr().out)
    assert (dump["complete"], dump["panic_message"], dump["taints"]) == (True, "out of luck", "WO")
    assert dump["vmcoreinfo"]["OSRELEASE"] == RELEASE
    assert len(dump["kernel_log"]) == dump["kernel_log_lines"] == 2
    assert "starts with b'text'" in refused["error"]


@pytest.mark.parametrize(("make", "status"), [(os.mkdir, 2), (os.mkfifo, 2), (str, 64)])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], status: int
) -> None:
    path = tmp_path / "vmcore"
    make(path)
    assert main(["inspect", str(path)]) == status
    assert str(path) in capsys.readouterr().err


def test_nothing_reaches_the_terminal_as_a_control_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "\x1b[2J\x9b\u202e"
    path = tmp_path / f"vmcore{bad}"
    vmcoreinfo = VMCOREINFO.replace(b"BUILD-ID=00c0ffee", f"BUILD-ID={bad}".encode())
    path.write_bytes(KdumpCompressed(vmcoreinfo=vmcoreinfo).image)
    text = tmp_path / f"text{bad}"
    text.write_bytes(bad.encode())
    main(["inspect", str(path), str(text), str(tmp_path / f"missing{bad}")])
    out, err = capsys.readouterr()
    assert "\\x1b[2J\\x9b\\x202e" in out
    assert "\\x1b[2J" in err
    assert all(line.isprintable() for line in [*out.splitlines(), *err.splitlines()])
