"""Runs that the stories of this folder are told with."""

from dataclasses import replace

from kdump_tests.report.facts import (
    Accelerator,
    Analysis,
    Artifact,
    Crash,
    Dump,
    Fact,
    Finding,
    GuestBooted,
    Note,
    Outcome,
    PhaseReached,
    PredictedSize,
    Prediction,
    Reservation,
    RunEnded,
    RunStarted,
    Section,
    StepDone,
    Verdict,
)
from kdump_tests.sizes import GIB, MIB

TIB = 1024 * GIB

GUEST = "debian-13-2G"
STARTED = RunStarted(
    id="8f3a",
    at=1795426736.5,
    command=("pytest", "--image", "debian-13"),
    versions={"kdump-verify": "0.1.0"},
    host={"hostname": "lab-3"},
    plan={"image": "debian-13"},
)
ACCELERATOR = Accelerator("kvm", "/dev/kvm opens", 1.0)
BOOTED = GuestBooted(
    guest=GUEST,
    image="debian-13",
    image_digest="sha256:6c1f",
    memory=2 * GIB,
    vcpus=2,
    kernel_release="6.12.57+deb13-amd64",
    command_line="root=/dev/vda1 crashkernel=192M",
    boot_seconds=14.2,
    boot_id="b1e0c5d2",
    folder=f"guests/{GUEST}",
    crashkernel_requested="auto",
    crashkernel_passed="192M",
    crashkernel_because="auto is unknown to this kernel; Debian's own default instead",
    origin="cold boot",
    origin_because="",
)
KERNEL = BOOTED.kernel_release
RESERVATION = Reservation(GUEST, 2 * GIB, 192 * MIB, 192 * MIB, 192 * MIB, None, kernel=KERNEL)
PROBED = Reservation(
    *("debian-13-16T", 16 * TIB, 512 * MIB, None, None, None),
    probe=768 * MIB,
    low=256 * MIB,
    kernel=KERNEL,
    at_least=True,
)
PREDICTION = Prediction(
    kernel=KERNEL,
    crashkernel="2G-64G:192M,64G-:512M",
    because="the ranges as written",
    points=(
        PredictedSize(512 * MIB, 0),
        PredictedSize(2 * GIB - MIB, 0),
        PredictedSize(2 * GIB, 192 * MIB),
        PredictedSize(64 * GIB - MIB, 192 * MIB),
        PredictedSize(64 * GIB, 512 * MIB),
        PredictedSize(16 * TIB, 512 * MIB),
    ),
)
STEP = StepDone(GUEST, "boot", 1795426740.0, 14.2, failed=False)
CRASH = Crash(
    guest=GUEST,
    trigger="sysrq",
    nonce="kv-5f0e1c",
    boot_id_before="b1e0c5d2",
    boot_id_after="77aa01f3",
    phases=(
        PhaseReached("panic", 0.1, "Kernel panic - not syncing: sysrq triggered crash"),
        PhaseReached("dump saved", 14.8, "saved vmcore in /var/crash/202611230942"),
        PhaseReached("login", 31.6, "debian-13 login:"),
    ),
    ended="login",
    failure="",
)
DUMP = Dump(
    guest=GUEST,
    path="/var/crash/202611230942",
    files=(Artifact("dmesg.202611230942", 61234, "0600", "root", f"guests/{GUEST}/dmesg.202611230942"),),
    format="kdump-compressed",
    complete=True,
    incomplete_because="",
    kernel_release="6.12.57+deb13-amd64",
    build_id="9d2f41c0",
    crash_time=1795426930,
    panic_message="sysrq triggered crash",
    seconds_to_judge=0.8,
)
ANALYSIS = Analysis(
    guest=GUEST,
    judge="drgn 0.3.0",
    seconds=1.9,
    vmlinux="/usr/lib/debug/boot/vmlinux-6.12.57+deb13-amd64",
    facts={"crashed": "sh (PID 338) on CPU 0"},
    sections=(Section("backtrace", "#0   panic (kernel/panic.c:358:3)"),),
    log="guests/debian-13-2G/crash.log",
    not_judged="",
)
FINDING = Finding(
    guest=GUEST,
    what="Captured, but: a disk failed to read or write",
    when="since dump saved",
    lines=("[   24.425607] I/O error, dev vda, sector 179656",),
    count=6,
)
NOTE = Note(at=1795426990.2, subject="debian-13-2G", text="its process died of signal 9")
ENDED = RunEnded(at=1795427001.0, exit_status=0, seconds=264.5)


def verdict(outcome: Outcome, message: str = "", *, name: str = "vmcore_is_complete") -> Verdict:
    """One check of the guest."""
    return Verdict(
        f"kdump_tests/verification/test_dump.py::test_{name}[sysrq]", outcome, 0.5, message, GUEST
    )


PASSED, FAILED = verdict("passed"), verdict("failed", "BadDump: the vmcore is truncated\n  size   12 MiB")
LAB_ERROR, SKIPPED = (
    verdict("error", "GuestLost: the guest vanished"),
    verdict("skipped", "no debug symbols"),
)

PROBE_PASSED = replace(verdict("passed", name="as_much_is_kept_aside"), guest=PROBED.guest)

WORKING: tuple[Fact, ...] = (
    *(STARTED, ACCELERATOR, PREDICTION, BOOTED, RESERVATION, STEP, CRASH, DUMP, PASSED, ENDED),
)
TIERS: tuple[Fact, ...] = (*WORKING[:-1], PROBED, PROBE_PASSED, ENDED)
BROKEN: tuple[Fact, ...] = (
    *(STARTED, ACCELERATOR, BOOTED, RESERVATION, STEP),
    replace(CRASH, phases=CRASH.phases[:1], ended="panic", failure="nothing was saved", boot_id_after=None),
    *(PASSED, FAILED, replace(ENDED, exit_status=1)),
)
KILLED = WORKING[:-1]
EVERY_FACT: tuple[Fact, ...] = (
    *(*WORKING[:-1], PROBED, ANALYSIS, FINDING, FAILED, LAB_ERROR, SKIPPED, NOTE, ENDED),
)
