"""RESULTS.md: one section a measurement, each with its command, its machine and its day."""

import platform
import subprocess
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
