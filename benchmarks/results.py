"""RESULTS.md: one section a measurement, each with its command, its machine and its day.

And tables of their own that are made line by line, a run of the suite each.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from kdump_tests.guest.hypervisor import library_version
from kdump_tests.report.facts import Dump
from kdump_tests.sizes import format_size
from kdump_tests.vmcore.inspection import inspect

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "RESULTS.md"


@dataclass(frozen=True)
class Row:
    """What was measured, its value, and what was promised."""

    what: str
    value: str
    promised: str = ""


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = [as_line(row.what, row.value, row.promised) for row in rows]
    return "\n".join(["| measured | value | promised |", "|---|---|---|", *lines])


def record(title: str, command: str, text: str) -> None:
    """Replace the section of that title."""
    section = (
        f"## {title}\n\n`.venv/bin/python {command}`, {datetime.now(UTC):%Y-%m-%d}: {here()}.\n\n{text}\n"
    )
    before = RESULTS.read_text() if RESULTS.exists() else "# What the suite costs\n"
    head, *sections = before.split("\n## ")
    kept = [f"## {old}".rstrip() + "\n" for old in sections if not old.startswith(f"{title}\n")]
    RESULTS.write_text("\n".join([head.rstrip() + "\n", *sorted([*kept, section])]))


def run_suite(options: Sequence[str], longest: float, **environment: str) -> int:
    """The exit status of a run of the suite, which may take so many seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=longest,
        check=False,
    )
    return done.returncode


def as_line(*cells: str) -> str:
    """As Markdown: a line of a table, whatever stands in its cells."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


@dataclass(frozen=True)
class Line:
    """A line of a table, of which each field is a cell."""

    @property
    def as_line(self) -> str:
        """Markdown."""
        return as_line(*vars(self).values())


def enter(
    path: Path, head: str, key: str, new: str, order: Sequence[str] = (), tail: Sequence[str] = ()
) -> None:
    """Write a line into the table of a file, in the place of those that begin with ``key``.

    ``head`` is all that stands before the first line, ``tail`` what follows the last. Lines are in the
    ``order`` of their first cells, those that it does not name behind.
    """

    def rank(each: str) -> tuple[int, str]:
        first = each.split("|")[1].strip()
        return order.index(first) if first in order else len(order), each

    lines = path.read_text().splitlines() if path.exists() else []
    known = [each for each in lines if each.startswith("| ")][1:]  # without its head
    kept = [each for each in known if not each.startswith(key)]
    rows = sorted([*kept, new], key=rank)
    path.write_text("\n".join([head, *rows, *tail]) + "\n")


def in_words(report: Path, dump: Dump) -> str:
    """What a dump of a report is, by its own header and memory map."""
    vmcore = inspect(report / max(dump.files, key=lambda file: file.size).local)
    level = "" if vmcore.dump_level is None else f", level {vmcore.dump_level}"
    packed = ", ".join(vmcore.compression) or "not compressed"
    by = f" in {vmcore.compressed_by}" if vmcore.compressed_by else ""
    size = format_size(vmcore.size - vmcore.size % (1 << 20))
    pages = f", {vmcore.memory.stored} pages of {vmcore.memory.covered}" if vmcore.memory else ""
    return f"{vmcore.format}{by}{level}, {packed}{pages}, {size}"


def here() -> str:
    """The machine and the versions."""
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {_cpu()}"
    versions = [
        f"Linux {platform.release()}",
        f"python {platform.python_version()}",
        f"libvirt {library_version()}",
        qemu.stdout.splitlines()[0].replace("QEMU emulator version", "QEMU"),
        *(f"{name} {metadata.version(name)}" for name in ("kdump-verify", "pytest", "distributed")),
    ]
    return f"{machine}; {', '.join(versions)}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
