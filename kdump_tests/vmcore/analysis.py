"""What a dump tells with its kernel's debug information, read by drgn in a process of its own.

Of its own, because a dump is hostile: drgn may meet a list without an end, and libkdumpfile maps the file,
so that reading what was cut off is a SIGBUS. drgn reads pages where they lie, flattened or not: no dump is
ever loaded or copied whole.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadDump
from kdump_tests.vmcore.debug_information import Vmlinux


@dataclass(frozen=True)
class Task:
    """A process or thread of the kernel's, as its task_struct has it. ``comm`` is its name."""

    pid: int
    comm: str
    parent: int


@dataclass(frozen=True)
class CrashedTask:
    """Who was on the CPU that panicked."""

    pid: int
    comm: str
    cpu: int

    def __str__(self) -> str:
        return f"{self.comm} (PID {self.pid}) on CPU {self.cpu}"


@dataclass(frozen=True)
class Frame:
    """One call of a backtrace, the innermost first. ``place`` is file and line, empty where unknown."""

    function: str
    place: str

    def __str__(self) -> str:
        return f"{self.function} ({self.place})" if self.place else self.function


@dataclass(frozen=True)
class Analysis:
    """The facts. What could not be read is None or empty, and ``unread`` tells why, by its name here.

    ``memory`` is in bytes, by use; ``tasks`` are processes, their threads, and those of the kernel.
    """

    vmlinux: Vmlinux
    reader: str  # "drgn 0.3.0"
    release: str | None
    crashed: CrashedTask | None
    backtrace: tuple[Frame, ...]
    tasks: tuple[Task, ...]
    modules: tuple[str, ...]
    memory: Mapping[str, int]
    unread: Mapping[str, str]
    seconds: float  # that it took

    @property
    def functions(self) -> tuple[str, ...]:
        """Those of the backtrace."""
        return tuple(frame.function for frame in self.backtrace)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "vmlinux": str(self.vmlinux.path),
            "build_id": self.vmlinux.build_id,
            "backtrace": [str(frame) for frame in self.backtrace],
        }

    @classmethod
    def parse(cls, text: str, vmlinux: Vmlinux, seconds: float) -> Self:
        """What the process that read it has said."""
        told = json.loads(text)
        return cls(
            vmlinux=vmlinux,
            reader=told["reader"],
            release=told["release"],
            crashed=CrashedTask(**told["crashed"]) if told["crashed"] else None,
            backtrace=tuple(Frame(**frame) for frame in told["backtrace"]),
            tasks=tuple(Task(**task) for task in told["tasks"]),
            modules=tuple(told["modules"]),
            memory=told["memory"],
            unread=told["unread"],
            seconds=seconds,
        )


def analyse(dump: Path, vmlinux: Vmlinux, until: Deadline) -> Analysis:
    """Read a dump as makedumpfile or the kernel wrote it, not one that was compressed as a whole since.

    Raises:
        BadDump: drgn cannot open it, or died of it.
        DeadlineExpired: it was still reading and has been killed.
    """
    argv = [sys.executable, "-m", "kdump_tests.vmcore.drgn_reading", str(dump), str(vmlinux.path)]
    begun = time.monotonic()
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=until.left, check=False)
    except subprocess.TimeoutExpired:
        raise until.error(dump=dump, reader="drgn") from None
    if done.returncode:
        died = f"drgn died of {signal.Signals(-done.returncode).name}" if done.returncode < 0 else ""
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
        raise BadDump(
            f"{dump.name} cannot be analysed: {died or said or 'drgn said nothing'}",
            dump=dump,
            vmlinux=vmlinux.path,
            drgn_said=said,
        )
    return Analysis.parse(done.stdout, vmlinux, time.monotonic() - begun)
