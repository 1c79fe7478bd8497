"""kdump of SUSE, by the words of kdump-save of openSUSE/kdump 34da4b8."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.stacks import suse
from kdump_tests.stacks.kdump_conf import KdumpConfig
from kdump_tests.stacks.stack import Phase, SavedFile
from kdump_tests.stacks.suse import KdumpCrashkernel, Suse
from kdump_tests.unit.crash.serial import GOOD as DEBIANS
from kdump_tests.unit.crash.serial import Serial
from kdump_tests.unit.stacks.here import Here

CAPTURE = {
    Phase.TARGET_MOUNTED: "[   21.1] kdump-save[301]: Saved temporary README.txt",
    Phase.DMESG_SAVED: "[   21.9] kdump-save[301]: Saved dmesg",
    Phase.DUMP_SAVED: "[   30.0] kdump-save[301]: Saved vmcore",
    Phase.FINAL_ACTION: DEBIANS[Phase.FINAL_ACTION],
}
BEFORE = [line for phase, line in DEBIANS.items() if phase.rank <= Phase.CAPTURE_KERNEL.rank]
AFTER = [line for phase, line in DEBIANS.items() if phase.rank >= Phase.REBOOTED.rank]
INCOMPLETE = """\
This file will be overwritten when the dump is finished.
If you see this text the crash dump is likely incomplete.

Dump time: 2026-11-23T02:39:59
"""
FINAL = """\
Kernel crashdump
----------------
dmesg status: saved successfully
vmcore status: {}
Kernel version: 6.4.0-150600.21-default
"""


def until() -> Deadline:
    return Deadline.after(10, "it is done")


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Serial]:
    serial = Serial(tmp_path / "console.log", Suse.markers)
    yield serial
    serial.console.close()


def test_the_word_that_ends_the_log_begins_the_dump(serial: Serial) -> None:
    timeline = serial.tells(*BEFORE, *CAPTURE.values(), *AFTER)
    assert [event.phase for event in timeline.events] == list(Phase)
    assert timeline.line(Phase.DUMP_STARTED) == CAPTURE[Phase.DMESG_SAVED]
    assert timeline.faults == ()


def test_a_dump_that_was_deleted_again_was_not_saved(serial: Serial) -> None:
    capture = [CAPTURE[Phase.TARGET_MOUNTED], CAPTURE[Phase.DMESG_SAVED], "kdump-save[301]: Deleting vmcore"]
    timeline = serial.tells(*BEFORE, *capture, CAPTURE[Phase.FINAL_ACTION], *AFTER)
    assert not timeline.reached(Phase.DUMP_SAVED)
    assert [fault.prevented for fault in timeline.faults] == [Phase.DUMP_SAVED]


def test_a_shell_on_the_console_ends_the_crash(serial: Serial) -> None:
    words = "Something failed. Running a debug shell. Exit the shell to continue."
    timeline = serial.falls_silent_after(*BEFORE, CAPTURE[Phase.TARGET_MOUNTED], words)
    assert timeline.faults[-1].fatal


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        (FINAL.format("saved successfully"), True),
        (FINAL.format("error while saving, return code: 1"), False),
        (FINAL.format("deleted (12 < KDUMP_FREE_DISK_SIZE 64)"), False),
        (FINAL.format("skipped"), False),
        (FINAL.format("saved successfully?"), False),
        (INCOMPLETE, False),
        ("", False),
    ],
)
def test_readme_says_whether_the_dump_was_saved(text: str, saved: bool) -> None:
    assert Suse.says_it_was_saved
    assert bool(Suse.says_it_was_saved.search(text)) is saved


@pytest.mark.parametrize("name", ["vmcore", "dmesg", "dmesg.txt", "README.txt"])
def test_its_files_are_roots_alone(name: str) -> None:
    modes = (0o600, 0o644)
    promised = [
        any(artifact.promises(SavedFile(name, 1, mode, "root")) for artifact in Suse.artifacts.all)
        for mode in modes
    ]
    assert promised == [True, False]


def test_every_setting_that_kdump_conf_is_translated_to_is_one() -> None:
    assert Suse().translate(KdumpConfig()).settings.keys() <= Suse.settings.keys()


@pytest.mark.parametrize("folder", ["/srv/dumps", "/srv/dumps/", "file:///srv/dumps"])
def test_dumps_are_looked_for_where_they_are_saved(folder: str) -> None:
    assert Suse().configured({"KDUMP_SAVEDIR": folder}).core_directory == "/srv/dumps"


@pytest.mark.parametrize("folder", ["ssh://u@h/srv", "nfs://h/srv", "srv"])
def test_where_nobody_looks_is_refused(folder: str) -> None:
    with pytest.raises(BadInput, match="KDUMP_SAVEDIR"):
        Suse().configured({"KDUMP_SAVEDIR": folder})


def test_crash_memory_is_told_to_kdump_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysconfig = tmp_path / "sysconfig"
    sysconfig.write_text('KDUMP_CRASHKERNEL="auto"\n')
    monkeypatch.setattr(suse, "_CONFIGURATION", str(sysconfig))
    here = Here(tmp_path)
    here.has("kdumptool", script="echo crashkernel=72M,low crashkernel=300M,high")
    shell: Any = here
    KdumpCrashkernel().reserve(shell, "300M,high crashkernel=72M,low", until())
    assert Suse().told(shell, ["KDUMP_CRASHKERNEL"], until()) == {
        "KDUMP_CRASHKERNEL": "crashkernel=300M,high crashkernel=72M,low"
    }
    KdumpCrashkernel().reserve(shell, None, until())
    assert here.calls == ["kdumptool commandline -u", "kdumptool commandline -d"]
    assert Suse().told(shell, ["KDUMP_UPDATE_BOOTLOADER"], until()) == {"KDUMP_UPDATE_BOOTLOADER": "false"}
    assert Suse().own_crashkernel(shell, until()) == "72M,low crashkernel=300M,high"
