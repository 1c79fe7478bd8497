"""What is captured, but, is told in the report."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.crash.timeline import Event, Timeline
from kdump_tests.errors import CaptureFailed
from kdump_tests.guest.console import Line
from kdump_tests.report import facts
from kdump_tests.session import publish
from kdump_tests.stacks.stack import Phase
from kdump_tests.unit.vmcore.crashed_machine import machine_with_users
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.vmcore.inspection import inspect


class WithoutDump:
    """A crash that left none, but these lines on the capture's console."""

    guest = "rocky-9-2G"
    timeline = SimpleNamespace(reached=lambda _: False, phase_at=lambda _: Phase.TARGET_MOUNTED)

    def __init__(self, *console: str) -> None:
        self.capture_log = tuple(Line(number, 0.0, text) for number, text in enumerate(console, 400))

    @property
    def dump(self) -> object:
        raise CaptureFailed("no dump was saved")


def crash_of(path: Path, *events: Event, loses_slab: bool = False) -> Crash:
    path.write_bytes(machine_with_users(SyntheticRing(), {}, dump_level=31, loses_slab=loses_slab).image)
    dump = SimpleNamespace(vmcore=inspect(path))
    timeline = Timeline(events, (), None, "console.log", "")
    return cast(Crash, SimpleNamespace(guest="debian-sid-1G", dump=dump, timeline=timeline))


def test_pages_that_makedumpfile_lost_are_a_note(tmp_path: Path) -> None:
    (note,) = publish.remarks(crash_of(tmp_path / "vmcore", loses_slab=True))
    assert note.subject == "debian-sid-1G"
    assert note.text.startswith("captured, but 1 pages of the kernel's own are left out")


def test_nothing_is_noted_of_a_dump_as_its_level_says(tmp_path: Path) -> None:
    assert publish.remarks(crash_of(tmp_path / "vmcore")) == ()


def test_words_that_the_console_lost_are_a_note(tmp_path: Path) -> None:
    seen = Event(Phase.DUMP_STARTED, 26.0, Line(1223, 0.0, "running makedumpfile"))
    lost = Event(Phase.DUMP_SAVED, 38.0, Line(1255, 0.0, "it holds a complete vmcore"), inferred=True)
    (note,) = publish.remarks(crash_of(tmp_path / "vmcore", seen, lost))
    assert note.text == (
        "captured, but its console lost the words that tell of 'dump saved': it holds a complete vmcore"
    )


def test_nothing_is_noted_where_there_is_no_dump() -> None:
    assert publish.remarks(cast(Crash, WithoutDump())) == ()


# As `dmesg -T` and `journalctl -ab` print them one after the other (save_log() of kdump.sh, kdump-utils).
OWN_LOG = """\
[Wed Nov 25 14:40:51 2026] virtio_blk virtio2: [vda] 8388608 512-byte logical blocks (4.29 GB/4.00 GiB)
[Wed Nov 25 14:40:52 2026] I/O error, dev vda, sector 179656 op 0x0:(READ) flags 0x80700 phys_seg 2
Nov 25 14:40:47 guest systemd[1]: Failed to start dracut-pre-udev.service - dracut\x1b[31m hook.
Nov 25 14:40:57 guest kdump[313]: saving vmcore complete
"""


def told(*console: str, own_log: str) -> list[facts.Finding]:
    """Of a saved dump, with those lines on the capture's console and that log beside the dump."""
    timeline = SimpleNamespace(
        reached=lambda _: True,
        phase_at=lambda line: Phase.DUMP_SAVED if line.number >= 410 else Phase.TARGET_MOUNTED,
    )
    heard = tuple(Line(number, 0.0, text) for number, text in enumerate(console, 400))
    dump = SimpleNamespace(capture_log=own_log)
    crash = SimpleNamespace(guest="rocky-9-2G", timeline=timeline, capture_log=heard, dump=dump)
    return list(publish.captured_but(cast(Crash, crash)))


def test_what_a_captures_own_log_complains_of_is_told_with_its_line() -> None:
    disk, unit = told(own_log=OWN_LOG)
    assert disk.what == "Captured, but: a disk failed to read or write."
    assert (disk.when, disk.count) == ("line 2 of the capture's own log", 1)
    assert disk.lines == (OWN_LOG.splitlines()[1],)
    assert unit.lines == (OWN_LOG.splitlines()[2].replace("\x1b", r"\x1b"),)


def test_disks_that_go_down_with_the_machine_are_no_trouble() -> None:
    failed = "[   73.706167] I/O error, dev vda, sector 193424 op 0x0:(READ) flags 0x80700"
    assert [finding.count for finding in told(failed, *["still saving"] * 9, failed, own_log="")] == [1]


def test_what_the_console_told_already_is_not_told_twice() -> None:
    disk, unit = told(OWN_LOG.splitlines()[1], own_log=OWN_LOG)
    assert disk.when == "since target mounted; console line 400"
    assert unit.when == "line 3 of the capture's own log"


@pytest.mark.parametrize("own_log", ["", "[Wed Nov 25 14:40:52 2026] scsi host0: ahci\n"])
def test_a_good_capture_has_nothing_told_of_its_own_log(own_log: str) -> None:
    assert told(own_log=own_log) == []


def test_a_capture_that_left_no_dump_is_told_of_by_its_console() -> None:
    crash = WithoutDump(OWN_LOG.splitlines()[1])
    (disk,) = publish.captured_but(cast(Crash, crash))
    assert disk.what == "A disk failed to read or write."
