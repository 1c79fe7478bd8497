"""Captured, but: trouble is known by its words, and a good capture has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.diagnosis.trouble import signatures, troubles
from kdump_tests.guest.console import Line
from kdump_tests.stacks.stack import Phase
from kdump_tests.unit import crash
from kdump_tests.unit.crash.serial import GOOD, Serial, good_after, good_until

RECORDED = Path(crash.__file__).parent
DISK = "[   24.4256] I/O error, dev vda, sector 179656 op 0x0:(READ) flags 0x80700 phys_seg 2 prio class 2"


def lines(*texts: str) -> list[Line]:
    return [Line(number, 0.0, text) for number, text in enumerate(texts, 1)]


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Serial]:
    serial = Serial(tmp_path / "console.log")
    yield serial
    serial.console.close()


# Lines as kernels, systemd and kdump print them, one or more for each signature.
@pytest.mark.parametrize(
    ("signature", "line"),
    [
        ("out-of-memory", "[    9.1] systemd-udevd invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0"),
        ("out-of-memory", "[    9.1] Out of memory: Killed process 272 (makedumpfile) total-vm:9000kB"),
        ("allocation-failure", "[    3.3] kworker/0:1: page allocation failure: order:4, mode:0xcc0"),
        ("initramfs-not-unpacked", "[    1.4] Initramfs unpacking failed: write error"),
        ("io-error", DISK),
        ("io-error", "[   12.0] Buffer I/O error on dev vda, logical block 8, async page read"),
        (
            "io-error",
            "[   12.0] EXT4-fs error (device vda): ext4_lookup:1855: inode #2: comm sh: iget failed",
        ),
        ("stuck", "[  242.7] INFO: task makedumpfile:272 blocked for more than 120 seconds."),
        ("stuck", "[   60.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [makedumpfile:272]"),
        ("stuck", "[   21.0] rcu: INFO: rcu_preempt self-detected stall on CPU"),
        ("kernel-fault", "[    5.0] WARNING: CPU: 0 PID: 1 at kernel/workqueue.c:1 x+0x1/0x2"),
        ("kernel-fault", "[    5.0] WARNING: kernel/workqueue.c:1 at x+0x1/0x2, CPU#0: kworker/0:1/9"),
        ("kernel-fault", "[    5.0] BUG: kernel NULL pointer dereference, address: 0000000000000000"),
        ("device-timeout", "[   95.0] systemd[1]: dev-vdb.device: Timed out waiting for device /dev/vdb."),
        (
            "device-timeout",
            "[  130.0] dracut-initqueue[282]: Warning: dracut-initqueue: timeout, still waiting",
        ),
        ("module-missing", "modprobe: FATAL: Module virtio_net not found in directory /lib/modules/6.1.0"),
        ("module-missing", "/usr/bin/kdump.sh: line 12: grep: command not found"),
        ("unit-failed", "[FAILED] Failed to mount sys-kernel-debug.mount - Kernel Debug File System."),
        ("network-late", "kdump[380]: WARNING: Waiting for network to be ready (3s / 10min)"),
        ("dump-in-doubt", "kdump-tools[272]: makedumpfile Failed."),
        ("hook-failed", "kdump[431]: /etc/kdump/post.d/notify exited with 3 status"),
        ("hook-failed", "[   12.1] kdump: /usr/local/bin/after exited with 1 status"),
    ],
)
def test_trouble_is_known_by_its_words(signature: str, line: str) -> None:
    assert [trouble.signature.id for trouble in troubles(lines(line))] == [signature]


def test_every_signature_has_its_sources_and_is_tried_here() -> None:
    tried = {mark.args[1][n][0] for mark in test_trouble_is_known_by_its_words.pytestmark  # type: ignore[attr-defined]
             for n in range(len(mark.args[1]))}  # fmt: skip
    assert {signature.id for signature in signatures()} == tried
    assert all(signature.sources and signature.means for signature in signatures())


@pytest.mark.parametrize(
    "line",
    [
        "[    0.0] PCI: Using host bridge windows from ACPI; if necessary, use nocrs and report a bug",
        "[    1.2] RAS: Correctable Errors collector initialized.",
        "Warning: fsck not present, so skipping root file system",
        "[   24.0] kdump-tools[272]: The kernel version is not supported.",
        "[   24.0] kdump-tools[272]: The makedumpfile operation may be incomplete.",
        "[    0.0] NMI watchdog: Perf NMI watchdog permanently disabled",
        "[    6.1] Not activating Mandatory Access Control as /sbin/tomoyo-init does not exist.",
    ],
)
def test_what_every_good_capture_says_is_no_trouble(line: str) -> None:
    assert troubles(lines(line)) == ()


def test_only_the_beginning_of_a_line_is_looked_at() -> None:
    assert troubles(lines(f"{'x ' * 256}{DISK}")) == ()


def test_many_lines_of_one_kind_are_one_trouble() -> None:
    (trouble,) = troubles(lines(*[DISK] * 5000))
    assert trouble.count == 5000
    assert [line.number for line in trouble.lines] == [1, 2, 3]


def test_a_real_good_capture_has_none(serial: Serial) -> None:
    capture = serial.plays(RECORDED / "debian-13-good.console").of_capture(serial.console.lines())
    assert len(capture) > 20
    assert troubles(capture) == ()


def test_a_real_capture_onto_a_full_disk_has_some(serial: Serial) -> None:
    capture = serial.plays(RECORDED / "debian-12-full-disk.console").of_capture(serial.console.lines())
    assert "dump-in-doubt" in [trouble.signature.id for trouble in troubles(capture)]


def test_only_the_capture_is_looked_at_and_the_phase_is_told(serial: Serial) -> None:
    timeline = serial.tells(
        *good_until(Phase.TRIGGERED), DISK.replace("24.4", "87.4"), *good_after(Phase.TRIGGERED)[:7],
        DISK, *good_after(Phase.DUMP_SAVED)[:2], DISK.replace("24.4", "3.4"), GOOD[Phase.LOGIN],
    )  # fmt: skip
    capture = timeline.of_capture(serial.console.lines())
    (trouble,) = troubles(capture)
    assert [line.text for line in trouble.lines] == [DISK]
    assert timeline.phase_at(trouble.lines[0]) is Phase.FINAL_ACTION


def test_last_words_are_the_crashed_kernels_own(serial: Serial) -> None:
    banner = "[    0.000000] Linux version 6.12.57+deb13-amd64 (debian-kernel@lists.debian.org)"
    timeline = serial.tells(
        *good_until(Phase.PANIC), "no stamp, no kernel's", "[   88.214000]  </TASK>", banner,
        *good_after(Phase.PANIC),
    )  # fmt: skip
    capture = timeline.of_capture(serial.console.lines())
    assert timeline.last_words == (GOOD[Phase.PANIC], "[   88.214000]  </TASK>")
    assert capture[0].text == GOOD[Phase.CAPTURE_KERNEL]
    assert GOOD[Phase.REBOOTED] not in [line.text for line in capture]


def test_no_panic_has_no_last_words(serial: Serial) -> None:
    timeline = serial.tells(*good_until(Phase.TRIGGERED))
    assert (timeline.last_words, timeline.of_capture(serial.console.lines())) == ((), ())
