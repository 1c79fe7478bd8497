"""Asking a real kernel: QEMU boots it with no disk and no initrd, and the serial line has the answer.

crashkernel= is decided in setup_arch(), before the kernel touches the memory it was told of, so a machine
of terabytes costs the host some hundred MiB and half a second. Needs neither root nor libvirt.
"""

import contextlib
import os
import re
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.crashkernel.bzimage import require_bzimage
from kdump_tests.crashkernel.reservation import Announcement, parse_boot_log
from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, HypervisorError, LabError
from kdump_tests.sizes import GIB, MIB, format_size
from kdump_tests.steps import step
from kdump_tests.subprocesses import kill_group, program

# What TCG can do and a guest must not use.
# cx16: QEMU 7.2 corrupts EFLAGS around cmpxchg16b, and the guest dies of a double fault that looks like a
# crash of ours.
# erms, fsrm: with them the kernel clears and copies pages by `rep stosb` and `rep movsb`, which TCG does
# byte by byte. Without, by eight bytes at a time: a boot takes two thirds of the time.
# Nothing else is left out: without svm, Debian 12's systemd meets EINVAL.
TCG_WITHOUT = ("cx16", "erms", "fsrm")
# TCG's own 40 address bits end at 1 TiB.
CPUS = {"tcg": f"max,{','.join(f'-{name}' for name in TCG_WITHOUT)},phys-bits=48", "kvm": "host"}
# Some distributions build their kernels to print warnings only; the reservation is told at level info.
CONSOLE = "console=ttyS0 earlyprintk=ttyS0 ignore_loglevel"
# A kernel prints some 25 KB until it misses its root file system. More than this is not a boot log.
LONGEST_LOG = 4 * MIB
LONGEST_STDERR = 4096
# Printed by start_kernel() right after setup_arch(): by then the reservation has been decided and told.
# ("Zone ranges:" comes a little earlier on x86, but on arm64 before the reservation.)
PAST_RESERVATION = re.compile(r"Kernel command line:")


@dataclass(frozen=True)
class ProbeLog:
    """What came over the serial line of one probe. Seconds count from the start of QEMU.

    The first line is the boot stub's "Probing EDD": the machine runs, the kernel proper does not yet.
    """

    lines: tuple[str, ...]
    seconds_to_first_line: float | None
    seconds_to_match: float | None  # None: the stop pattern never came
    stderr: str  # the tail of QEMU's own words
    exit_status: int | None  # None: QEMU was still running, and was killed

    @property
    def matched(self) -> bool:
        """Whether the stop pattern came; it matches the last line then."""
        return self.seconds_to_match is not None

    def tail(self, lines: int = 12) -> str:
        """The last lines, for an error."""
        return "\n".join(self.lines[-lines:])


def boot_log(
    kernel: Path, *, command_line: str, memory: int, accelerator: str, stop: re.Pattern[str], until: Deadline
) -> ProbeLog:
    """Boots a kernel until a line matches ``stop``, QEMU ends or the deadline passes; then QEMU is gone.

    Raises:
        BadInput: the file is not a kernel, the memory not in whole MiB, the accelerator unknown.
        ToolMissing: QEMU is not installed.
    """
    require_bzimage(kernel)
    argv = _argv(kernel, f"{CONSOLE} {command_line}", memory, accelerator)
    serial = _SerialLine(stop)
    stderr = b""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            with selectors.DefaultSelector() as pipes:
                pipes.register(process.stdout, selectors.EVENT_READ)
                pipes.register(process.stderr, selectors.EVENT_READ)
                while pipes.get_map() and not serial.ended and not until.expired:
                    for key, _ in pipes.select(until.left):
                        chunk = os.read(key.fd, 65536)
                        if not chunk:
                            pipes.unregister(key.fileobj)
                        elif key.fileobj is process.stderr:
                            stderr = (stderr + chunk)[-LONGEST_STDERR:]
                        else:
                            serial.feed(chunk)
                both_closed = not pipes.get_map()
            if both_closed:
                # QEMU is on its way out: let it, for the sake of its status.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(1.0, until.left))
            status = process.poll()
        finally:
            kill_group(process)
    serial.end()
    return ProbeLog(
        tuple(serial.lines),
        serial.seconds_to_first_line,
        serial.seconds_to_match,
        stderr.decode(errors="replace").strip(),
        status,
    )


def ask(kernel: Path, value: str, memory: int, accelerator: str, until: Deadline) -> Announcement:
    """What a kernel says of its reservation on a machine of so many bytes.

    Raises:
        BadInput, ToolMissing: as boot_log().
        HypervisorError: QEMU ended without an answer.
        LabError: the kernel panicked before it answered.
        DeadlineExpired: no answer came in time, or not a single line.
    """
    return _announcement(_answered(kernel, value, memory, accelerator, until))


def knows_auto(kernel: Path, accelerator: str, until: Deadline) -> bool:
    """Whether a kernel knows crashkernel=auto, by its own words on a machine of 4 GiB.

    Raises:
        LabError: as ask(), and when the kernel passed the place and said nothing.
    """
    with step(kernel.name, "ask the kernel whether it knows crashkernel=auto"):
        log = _answered(kernel, "auto", 4 * GIB, accelerator, until)
    said = _announcement(log)
    # Upstream tries to read "auto" as a size. A kernel that knows it says so (RHEL 8), reserves (RHEL 7),
    # or tells why it could not.
    if any("emory value expected" in refusal for refusal in said.refusals):
        return False
    if said.words:
        return True
    raise LabError(f"{kernel.name} says nothing about crashkernel=auto", **_whereabouts(kernel, log))


def _announcement(log: ProbeLog) -> Announcement:
    return parse_boot_log("\n".join(log.lines))


def _answered(kernel: Path, value: str, memory: int, accelerator: str, until: Deadline) -> ProbeLog:
    log = boot_log(
        kernel,
        command_line=f"crashkernel={value}",
        memory=memory,
        accelerator=accelerator,
        stop=PAST_RESERVATION,
        until=until,
    )
    if log.matched:
        return log
    where, facts = f"{kernel.name} on {format_size(memory)}", _whereabouts(kernel, log)
    if any("Kernel panic" in line for line in log.lines):
        raise LabError(f"{where} panics before it reserves anything", **facts)
    if log.exit_status is not None:
        raise HypervisorError(f"QEMU ended with status {log.exit_status} under {where}", **facts)
    heard = "its last word was another one" if log.lines else "it printed nothing at all"
    raise until.error(heard=heard, **facts)


def _whereabouts(kernel: Path, log: ProbeLog) -> dict[str, object]:
    return {"kernel": kernel, "last_lines": log.tail(), "qemu_says": log.stderr}


def require_memory(memory: int) -> None:
    """Nothing, when a machine can have so many bytes.

    Raises:
        BadInput: none can.
    """
    if memory <= 0 or memory % MIB:
        raise BadInput(f"a machine cannot have {memory} bytes of memory", way_out="a multiple of 1M")


def _argv(kernel: Path, command_line: str, memory: int, accelerator: str) -> list[str]:
    if accelerator not in CPUS:
        raise BadInput(f"{accelerator!r} is no accelerator", way_out=" or ".join(CPUS))
    require_memory(memory)
    size = format_size(memory)
    qemu = program("qemu-system-x86_64")
    return [
        # Whatever ends us, even SIGKILL, ends QEMU. setpriv becomes QEMU, so the process is the same; a
        # preexec_fn would not be safe among threads.
        *(program("setpriv"), "--pdeathsig", "KILL", qemu),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-machine", f"q35,accel={accelerator},memory-backend=ram", "-cpu", CPUS[accelerator]),
        # Without reserve=off the host would have to vouch for all that memory.
        *("-m", size, "-object", f"memory-backend-ram,id=ram,size={size},reserve=off"),
        *("-kernel", str(kernel), "-append", command_line),
    ]


class _SerialLine:
    """Lines out of chunks, and when the first and the decisive one came."""

    def __init__(self, stop: re.Pattern[str]) -> None:
        self.lines: list[str] = []
        self.seconds_to_first_line: float | None = None
        self.seconds_to_match: float | None = None
        self._stop = stop
        self._begun = time.monotonic()
        self._taken = 0
        self._unfinished = b""

    @property
    def ended(self) -> bool:
        return self.seconds_to_match is not None or self._taken > LONGEST_LOG

    def feed(self, chunk: bytes) -> None:
        self._taken += len(chunk)
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        if self._unfinished:
            self._take(self._unfinished)

    def _take(self, line: bytes) -> None:
        if self.seconds_to_match is not None:
            return
        seconds = time.monotonic() - self._begun
        # A guest's escape sequences must not reach our terminal.
        text = "".join(
            char if char.isprintable() or char == "\t" else "\ufffd"
            for char in line.decode(errors="replace").rstrip("\r")
        )
        self.lines.append(text)
        if self.seconds_to_first_line is None:
            self.seconds_to_first_line = seconds
        if self._stop.search(text):
            self.seconds_to_match = seconds
