#!/usr/bin/env python3
"""What `kdump-verify inspect` takes for a dump of a run, and for files that are larger.

    .venv/bin/python benchmarks/inspection.py reports/last/guests/*/dump/dump.*

Prints a table and, with --record, writes it into benchmarks/RESULTS.md. Each figure is of a process of its
own, from its start to its end. The larger files are sparse: the dump's size alone differs.
"""

import argparse
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

import psutil
from results import Row, record, table

from kdump_tests.sizes import GIB
from kdump_tests.unit.vmcore.dumps import elf_core

LONGEST_SECONDS = 1.0
LARGEST_MEMORY = 300 * 2**20
LARGEST_GROWTH = 1.25  # what chance alone does on a busy host
_REPEATS = 5


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", type=Path, help="of a guest with 1 GiB of memory, as kdump-tools saved it")
    parser.add_argument("--record", action="store_true", help="write the result into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch, "small"), Path(scratch, "large")
        core_of(small, GIB)
        core_of(large, 20 * GIB)
        (real, memory), (of_small, _), (of_large, large_memory) = map(measure, (options.dump, small, large))
    growth = of_large / of_small
    text = table(
        [
            Row(
                f"a run's dump, {options.dump.stat().st_size / 2**20:.0f} MiB",
                f"{real:.2f} s (median of {_REPEATS}), {memory >> 20} MiB of memory",
                f"under {LONGEST_SECONDS:.0f} s",
            ),
            Row("a core of 1 GiB, sparse", f"{of_small:.2f} s"),
            Row(
                "a core of 20 GiB, sparse",
                f"{of_large:.2f} s, {large_memory >> 20} MiB of memory",
                f"within {LARGEST_MEMORY >> 20} MiB",
            ),
            Row("ratio of the two", f"{growth:.2f}", f"at most {LARGEST_GROWTH}"),
        ]
    )
    print(text)
    if options.record:
        record("Looking into a dump", "benchmarks/inspection.py DUMP --record", text)
    good = real < LONGEST_SECONDS and growth <= LARGEST_GROWTH and large_memory < LARGEST_MEMORY
    return 0 if good else 1


def core_of(path: Path, size: int) -> None:
    """An ELF core with so many bytes of memory, of which none take room."""
    core = bytearray(elf_core(memory=(b"first page",)))
    struct.pack_into("<QQ", core, 64 + 56 + 32, size, size)
    path.write_bytes(core)
    with path.open("r+b") as file:
        file.truncate(len(core) + size)


def measure(dump: Path) -> tuple[float, int]:
    """Seconds (the median) and the largest peak of memory."""
    seconds, peaks = [], []
    for _ in range(_REPEATS):
        begun = time.monotonic()
        with psutil.Popen(
            [sys.executable, "-m", "kdump_tests", "inspect", "--json", dump], stdout=-3
        ) as process:
            peak = 0
            while process.poll() is None:
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.002)
        if process.wait() != 0:
            sys.exit(f"{dump} is not complete: there is nothing to measure")
        seconds.append(time.monotonic() - begun)
        peaks.append(peak)
    return statistics.median(seconds), max(peaks)


if __name__ == "__main__":
    sys.exit(main())
