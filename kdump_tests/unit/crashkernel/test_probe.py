"""The probe, with a shell script in QEMU's place: it is told what to do, in time, and never left behind."""

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kdump_tests.crashkernel import probe
from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.crashkernel.probe import ProbeLog, boot_log, knows_auto
from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import BadInput, DeadlineExpired, HypervisorError, LabError, ToolMissing
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.crashkernel.kernels import BZIMAGE, IMAGE, VMLINUX_PPC64LE, zboot

UPSTREAM = "[    0.031719] crashkernel: memory value expected"
PAST = "[    0.117630] Kernel command line: crashkernel=auto"
FOREVER = "exec sleep 60"

FakeQemu = Callable[[str], None]


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """As much of a kernel as the probe looks at."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(BZIMAGE)
    return path


@pytest.fixture
def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    """Puts a shell script first on PATH; it finds the folder of the test in $HERE."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(script: str) -> None:
        for emulation in EMULATIONS.values():
            path = folder / emulation.qemu
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return install


def boot(
    kernel: Path, *, stop: str = "never", seconds: float = 10, memory: int = GIB, accelerator: str = "tcg"
) -> ProbeLog:
    return boot_log(
        kernel,
        command_line="crashkernel=256M",
        memory=memory,
        accelerator=accelerator,
        stop=re.compile(stop),
        until=Deadline.after(seconds, "the kernel answers"),
    )


def echo(*lines: str) -> str:
    return "\n".join(f"printf '%s\\r\\n' '{line}'" for line in lines)


def wait_for_end_of(pid: int) -> None:
    """Returns when a process is gone; an orphan's corpse may wait for a lazy init."""

    def look() -> None:
        try:
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return

    wait_until(look, Deadline.after(5, "the process ends"), retry_on=AssertionError)


def test_reading_ends_at_the_line_that_matches(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(f"{echo('one', 'two: stop here', 'three')}\n{FOREVER}")
    log = boot(kernel, stop="stop here")
    assert log.matched
    assert log.lines == ("one", "two: stop here")
    assert log.exit_status is None


def test_times_of_the_first_and_the_decisive_line_are_kept(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(f"sleep 0.2\n{echo('one')}\nsleep 0.2\n{echo('two')}\n{FOREVER}")
    log = boot(kernel, stop="two")
    assert log.seconds_to_first_line is not None
    assert log.seconds_to_match is not None
    assert 0.2 <= log.seconds_to_first_line < log.seconds_to_match - 0.1 < 5


def test_qemu_is_told_of_the_machine(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu("""printf '%s\\n' "$@" """)
    told = list(boot(kernel, memory=3 * GIB // 2).lines)
    assert told[told.index("-kernel") + 1] == str(kernel)
    assert (
        told[told.index("-append") + 1] == "console=ttyS0 earlyprintk=ttyS0 ignore_loglevel crashkernel=256M"
    )
    assert told[told.index("-m") + 1] == "1536M"
    assert told[told.index("-object") + 1] == "memory-backend-ram,id=ram,size=1536M,reserve=off"
    assert told[told.index("-machine") + 1] == "q35,accel=tcg,memory-backend=ram"
    assert told[told.index("-cpu") + 1] == "max,-cx16,-erms,-fsrm,phys-bits=48"
    assert "-no-reboot" in told


@pytest.mark.parametrize(
    ("content", "program", "machine", "cpu", "console"),
    [
        (BZIMAGE, "qemu-system-x86_64", "q35,", "max,-cx16", "console=ttyS0 earlyprintk=ttyS0"),
        (IMAGE, "qemu-system-aarch64", "virt,", "max", "earlycon"),
        (VMLINUX_PPC64LE, "qemu-system-ppc64", "pseries,x-vof=on,", "power9", "ignore_loglevel"),
    ],
)
def test_each_architecture_has_its_machine(
    kernel: Path, fake_qemu: FakeQemu, content: bytes, program: str, machine: str, cpu: str, console: str
) -> None:
    kernel.write_bytes(content)
    fake_qemu("""printf '%s\\n' "$(basename "$0")" "$@" """)
    told = list(boot(kernel).lines)
    assert told[0] == program
    assert told[told.index("-machine") + 1].startswith(machine)
    assert told[told.index("-cpu") + 1].startswith(cpu)
    assert told[told.index("-append") + 1].startswith(console)


def test_payload_of_a_zboot_kernel_is_handed_over_without_a_file_of_its_own(
    kernel: Path, fake_qemu: FakeQemu
) -> None:
    kernel.write_bytes(zboot(gzip.compress(IMAGE)))
    fake_qemu("""for last; do :; done; echo "$last"; zcat "$last" | head -c 64 | tail -c 8""")
    path, magic = boot(kernel).lines
    assert path.startswith("/proc/self/fd/")
    assert magic.startswith("ARMd")


def test_qemu_that_ends_by_itself_leaves_its_words_and_its_status(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu("printf 'no newline'; echo 'failed to set MSR 0x10a' >&2; exit 3")
    log = boot(kernel)
    assert log == ProbeLog(("no newline",), log.seconds_to_first_line, None, "failed to set MSR 0x10a", 3)


def test_silent_kernel_costs_no_more_than_the_deadline(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(FOREVER)
    begun = time.monotonic()
    log = boot(kernel, seconds=0.3)
    assert time.monotonic() - begun < 3
    assert log == ProbeLog((), None, None, "", None)


def test_flood_is_cut_off(kernel: Path, fake_qemu: FakeQemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LONGEST_LOG", 100_000)
    fake_qemu("yes crashkernel >&2 & exec yes crashkernel")
    log = boot(kernel, seconds=60)
    assert sum(map(len, log.lines)) < 200_000
    assert len(log.stderr) <= probe.LONGEST_STDERR


def test_line_without_end_is_cut_off(
    kernel: Path, fake_qemu: FakeQemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LONGEST_LOG", 100_000)
    fake_qemu("exec cat /dev/zero")
    assert sum(map(len, boot(kernel, seconds=60).lines)) < 200_000


def test_garbage_of_a_guest_is_made_harmless(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(r"printf '\033[2Jgone\377\000\ttab\r\n'")
    assert boot(kernel).lines == ("\ufffd[2Jgone\ufffd\ufffd\ttab",)


@pytest.mark.parametrize("stop", ["ready", "never"])
def test_nothing_is_left_behind_not_even_what_qemu_started(
    kernel: Path, fake_qemu: FakeQemu, tmp_path: Path, stop: str
) -> None:
    fake_qemu(f'sleep 60 & echo $! > "$HERE/child"; echo $$ > "$HERE/pid"\n{echo("ready")}\n{FOREVER}')
    boot(kernel, stop=stop, seconds=1)
    wait_for_end_of(int((tmp_path / "pid").read_text()))
    wait_for_end_of(int((tmp_path / "child").read_text()))


PROBE_IN_A_PROCESS = """
import re, sys
from pathlib import Path
from kdump_tests.crashkernel.probe import boot_log
from kdump_tests.deadline import Deadline

boot_log(
    Path(sys.argv[1]), command_line="", memory=1 << 30, accelerator="tcg",
    stop=re.compile("never"), until=Deadline.after(60, "somebody ends us"),
)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_qemu_dies_with_us_however_we_die(
    kernel: Path, fake_qemu: FakeQemu, tmp_path: Path, how: signal.Signals
) -> None:
    fake_qemu(f'echo $$ > "$HERE/new"; mv "$HERE/new" "$HERE/pid"\n{FOREVER}')
    with subprocess.Popen(
        [sys.executable, "-c", PROBE_IN_A_PROCESS, str(kernel)], stderr=subprocess.DEVNULL
    ) as prober:
        pid = wait_until(
            lambda: int((tmp_path / "pid").read_text()),
            Deadline.after(20, "QEMU starts"),
            retry_on=FileNotFoundError,
        )
        prober.send_signal(how)
        prober.wait(10)
    wait_for_end_of(pid)


@pytest.mark.parametrize(
    ("content", "program", "package"),
    [
        (BZIMAGE, "qemu-system-x86_64", "qemu-system-x86"),
        (IMAGE, "qemu-system-aarch64", "qemu-system-arm"),
        (VMLINUX_PPC64LE, "qemu-system-ppc64", "qemu-system-ppc"),
    ],
)
def test_missing_qemu_is_named(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, program: str, package: str
) -> None:
    kernel.write_bytes(content)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=f"{program} is not installed") as refused:
        boot(kernel)
    assert refused.value.facts["package"] == package
    assert refused.value.facts["way out"]


def test_file_that_is_no_kernel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000))
    with pytest.raises(BadInput, match=r"holiday\.jpg is not a kernel"):
        boot(path)


@pytest.mark.parametrize("memory", [0, -MIB, MIB + 1])
def test_memory_that_qemu_would_not_take_is_refused(kernel: Path, memory: int) -> None:
    with pytest.raises(BadInput, match="bytes of memory"):
        boot(kernel, memory=memory)


def test_memory_that_pseries_would_not_take_is_refused(kernel: Path) -> None:
    kernel.write_bytes(VMLINUX_PPC64LE)
    with pytest.raises(BadInput, match="bytes of memory") as refused:
        boot(kernel, memory=1000 * MIB)
    assert refused.value.facts["way out"] == "a multiple of 256M"


def test_kvm_is_refused_for_a_machine_that_was_not_tried_with_it(kernel: Path) -> None:
    kernel.write_bytes(IMAGE)
    with pytest.raises(BadInput, match="'kvm' is no accelerator for qemu-system-aarch64"):
        boot(kernel, accelerator="kvm")


def test_unknown_accelerator_is_refused(kernel: Path) -> None:
    with pytest.raises(BadInput, match="'abacus' is no accelerator"):
        boot(kernel, accelerator="abacus")


def asked(kernel: Path, seconds: float = 10) -> bool:
    return knows_auto(kernel, "tcg", Deadline.after(seconds, "the kernel answers"))


@pytest.mark.parametrize(
    ("said", "knows"),
    [
        (UPSTREAM, False),
        (UPSTREAM.replace("memory", "Memory"), False),
        ("Using crashkernel=auto, the size chosen is a best effort estimation.", True),
        ("[    0.000000] kexec: crashkernel=auto resulted in zero bytes of reserved memory.", True),
        ("Reserving 161MB of memory at 688MB for crashkernel (System RAM: 4095MB)", True),
        ("crashkernel reservation failed - No suitable area found.", True),
    ],
)
def test_kernels_own_words_tell_whether_it_knows_auto(
    kernel: Path, fake_qemu: FakeQemu, said: str, knows: bool
) -> None:
    fake_qemu(f"{echo('Linux version', said, PAST)}\n{FOREVER}")
    assert asked(kernel) is knows


def test_kernel_that_says_nothing_of_auto_is_no_answer(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(f"{echo('Linux version 2.4', PAST)}\n{FOREVER}")
    with pytest.raises(LabError, match="vmlinuz says nothing") as refused:
        asked(kernel)
    assert "Linux version 2.4" in refused.value.facts["last lines"]
    assert refused.value.facts["kernel"] == str(kernel)


def test_qemu_that_ends_is_no_answer(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu("echo 'Could not access KVM kernel module' >&2; exit 1")
    with pytest.raises(HypervisorError, match="status 1") as refused:
        asked(kernel)
    assert refused.value.facts["qemu says"] == "Could not access KVM kernel module"


def test_kernel_that_hangs_is_no_answer(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(f"{echo('Linux version')}\n{FOREVER}")
    with pytest.raises(DeadlineExpired, match="the kernel answers") as refused:
        asked(kernel, seconds=0.5)
    assert refused.value.facts["last lines"] == "Linux version"


def test_kernel_that_panics_first_is_no_answer(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(f"{echo('Linux version', 'Kernel panic - not syncing: no memory')}\nexit 0")
    with pytest.raises(LabError, match="panics before it reserves") as refused:
        asked(kernel)
    assert "no memory" in refused.value.facts["last lines"]
    assert refused.value.facts["crashkernel"] == "auto"


def test_kernel_that_prints_nothing_is_told_apart(kernel: Path, fake_qemu: FakeQemu) -> None:
    fake_qemu(FOREVER)
    with pytest.raises(DeadlineExpired) as refused:
        asked(kernel, seconds=0.5)
    assert refused.value.facts["heard"] == "it printed nothing at all"
