"""Asking a real kernel: QEMU boots it with no disk and no initrd, and the serial line has the answer.

crashkernel= is decided in setup_arch(), before the kernel touches the memory it was told of, so an x86
machine of terabytes costs the host some hundred MiB and half a second (emulation.py has the others). Needs
neither root nor libvirt.
"""

import contextlib
import os
import re
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.crashkernel.emulation import EMULATIONS, Emulation
from kdump_tests.crashkernel.kernel_file import loadable, read_kernel_file
from kdump_tests.crashkernel.reservation import Announcement, parse_boot_log
from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, HypervisorError, LabError
from kdump_tests.sizes import GIB, MIB, format_size
from kdump_tests.steps import step
from kdump_tests.subprocesses import kill_group, program

# With KASLR the kernel may lie in the middle of the memory, and a large reservation once fits, once not.
_SETTLED = "nokaslr"
# A kernel prints some 25 KB until it misses its root file system. More than this is not a boot log.
LONGEST_LOG = 4 * MIB
LONGEST_STDERR = 4096
# Printed by start_kernel() right after setup_arch(): by then the reservation has been decided and told.
# ("Zone ranges:" comes a little earlier on x86 and powerpc, but on arm64 before the reservation.)
PAST_RESERVATION = re.compile(r"Kernel command line:")
_VERSION = re.compile(r"Linux version (\S+)")


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
        BadInput: the file is no kernel that can be asked, or the machine has no such memory or accelerator.
        ToolMissing: QEMU is not installed for the kernel's architecture.
    """
    kernel_file = read_kernel_file(kernel)
    argv = _argv(EMULATIONS[kernel_file.architecture], command_line, memory, accelerator)
    serial = _SerialLine(stop)
    stderr = b""
    with (
        loadable(kernel_file) as (loaded, descriptors),
        subprocess.Popen(
            [*argv, "-kernel", loaded],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
        ) as process,
    ):
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


def ask(kernel: Path, value: str | None, memory: int, accelerator: str, until: Deadline) -> Announcement:
    """What a kernel says of its reservation on a machine of so many bytes; None leaves crashkernel= out.

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


def release_of(kernel: Path, accelerator: str, until: Deadline) -> str:
    """What ``uname -r`` would say of a kernel, by its own first words.

    Raises:
        BadInput, ToolMissing, HypervisorError, LabError, DeadlineExpired: as ask().
    """
    log = boot_log(kernel, command_line="", memory=GIB, accelerator=accelerator, stop=_VERSION, until=until)
    for line in log.lines:
        if told := _VERSION.search(line):
            return told[1]
    raise _no_answer(kernel, GIB, log, until)


def _announcement(log: ProbeLog) -> Announcement:
    return parse_boot_log("\n".join(log.lines))


def _answered(kernel: Path, value: str | None, memory: int, accelerator: str, until: Deadline) -> ProbeLog:
    log = boot_log(
        kernel,
        command_line=_SETTLED if value is None else f"{_SETTLED} crashkernel={value}",
        memory=memory,
        accelerator=accelerator,
        stop=PAST_RESERVATION,
        until=until,
    )
    if log.matched:
        return log
    raise _no_answer(kernel, memory, log, until, value)


def _no_answer(
    kernel: Path, memory: int, log: ProbeLog, until: Deadline, value: str | None = None
) -> LabError:
    where = f"{kernel.name} on {format_size(memory)}"
    facts = {"crashkernel": value, **_whereabouts(kernel, log)}
    if any("Kernel panic" in line for line in log.lines):
        return LabError(f"{where} panics before it reserves anything", **facts)
    if log.exit_status is not None:
        return HypervisorError(f"QEMU ended with status {log.exit_status} under {where}", **facts)
    heard = "its last word was another one" if log.lines else "it printed nothing at all"
    return until.error(heard=heard, **facts)


def _whereabouts(kernel: Path, log: ProbeLog) -> dict[str, object]:
    return {"kernel": kernel, "last_lines": log.tail(), "qemu_says": log.stderr}


def require_memory(memory: int, step: int = MIB) -> None:
    """Nothing, when a machine whose memory is a multiple of ``step`` can have so many bytes.

    Raises:
        BadInput: none can.
    """
    if memory <= 0 or memory % step:
        raise BadInput(
            f"a machine cannot have {memory} bytes of memory", way_out=f"a multiple of {format_size(step)}"
        )


def _argv(emulation: Emulation, command_line: str, memory: int, accelerator: str) -> list[str]:
    """All but the kernel."""
    if accelerator not in emulation.cpus:
        raise BadInput(
            f"{accelerator!r} is no accelerator for {emulation.qemu}", way_out=" or ".join(emulation.cpus)
        )
    require_memory(memory, emulation.memory_step)
    size = format_size(memory)
    qemu = program(emulation.qemu)
    return [
        # Whatever ends us, even SIGKILL, ends QEMU. setpriv becomes QEMU, so the process is the same; a
        # preexec_fn would not be safe among threads.
        *(program("setpriv"), "--pdeathsig", "KILL", qemu),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-machine", f"{emulation.machine},accel={accelerator},memory-backend=ram"),
        *("-cpu", emulation.cpus[accelerator]),
        # Without reserve=off the host would have to vouch for all that memory.
        *("-m", size, "-object", f"memory-backend-ram,id=ram,size={size},reserve=off"),
        *("-append", f"{emulation.console} {command_line}"),
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
