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
    lines = [f"| {row.what} | {row.value} | {row.promised} |" for row in rows]
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


def line(result: object) -> str:
    """A result as a line of a Markdown table, a cell for each field. What guests say may hold anything."""
    cells = (str(value).replace("|", "\\|") for value in vars(result).values())
    return f"| {' | '.join(cells)} |"


def keep_line(path: Path, new: str, order: Sequence[str], head: str, foot: Sequence[str] = ()) -> None:
    """Put a line into a table, in the place of the one with the same case and image.

    These are its first cell, by which the table is in ``order``, and what the second begins with up to a
    comma. All other lines stay; ``head`` ends with the table's own.
    """
    lines: list[str] = []
    if path.exists():
        lines = [each for each in path.read_text().splitlines() if each.startswith("| ")][1:]
    kept = [each for each in lines if _case_and_image(each) != _case_and_image(new)]

    def rank(each: str) -> tuple[int, str]:
        case, _ = _case_and_image(each)
        return order.index(case) if case in order else len(order), each

    path.write_text("\n".join([head, *sorted([*kept, new], key=rank), *foot]) + "\n")


def _case_and_image(row: str) -> tuple[str, str]:
    case, guest = row.split("|")[1:3]
    return case.strip(), guest.partition(",")[0].strip()


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
