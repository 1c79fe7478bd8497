#!/usr/bin/env python3
"""What `kdump-verify inspect` takes for a dump of a run with debug information, and what crash(8) takes.

    .venv/bin/kdump-verify image debuginfo debian-12
    .venv/bin/python benchmarks/analysis.py reports/last/guests/*/dump/dump.*

Prints a table and, with --record, writes it into benchmarks/RESULTS.md. All in turns within one run, each in
a process of its own from its start to its end: the ratios hold where the seconds follow the host.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from results import Row, record, table

from kdump_tests.guest.cache import default_cache
from kdump_tests.vmcore.debug_information import Vmlinux, chosen, find
from kdump_tests.vmcore.inspection import inspect

LONGEST_WITHOUT = 1.0
LONGEST_WITH = 3.0
SMALLEST_RATIO = 5.0
_REPEATS = 5
# The facts that drgn is asked for: release, crashed task and backtrace, tasks, modules, memory, log.
_SAME_FACTS = "sys\nbt\nps\nmod\nkmem -i\nlog\nquit\n"


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", type=Path, help="of a guest with 1 GiB of memory, as kdump-tools saved it")
    parser.add_argument("--vmlinux", type=Path, help="default: looked for by its build ID")
    parser.add_argument("--record", action="store_true", help="write the result into RESULTS.md")
    options = parser.parse_args()
    vmlinux = _vmlinux(options.dump, options.vmlinux)
    without: list[float] = []
    with_it: list[float] = []
    by_crash: list[float] = []
    with tempfile.TemporaryDirectory() as nothing:
        for _ in range(_REPEATS):
            without.append(_timed(lambda: _inspect(options.dump, nothing)))
            with_it.append(_timed(lambda: _inspect(options.dump, nothing, "--vmlinux", str(vmlinux.path))))
            by_crash.append(_timed(lambda: _crash(options.dump, vmlinux)))
    bare, analysed, crash = map(statistics.median, (without, with_it, by_crash))
    text = table(
        [
            Row("without debug information", _shown(without), f"under {LONGEST_WITHOUT:.0f} s"),
            Row("with it, read by drgn", _shown(with_it), f"under {LONGEST_WITH:.0f} s"),
            Row("the same facts by crash(8)", _shown(by_crash)),
            Row(
                "ratio of crash(8) to ours with debug information",
                f"{crash / analysed:.1f}",
                f"at least {SMALLEST_RATIO:.0f}",
            ),
        ]
    )
    print(text)
    if options.record:
        record("Looking into a dump with debug information", "benchmarks/analysis.py DUMP --record", text)
    good = bare < LONGEST_WITHOUT and analysed < LONGEST_WITH and crash / analysed >= SMALLEST_RATIO
    return 0 if good else 1


def _vmlinux(dump: Path, given: Path | None) -> Vmlinux:
    told = inspect(dump)
    if given:
        return chosen(given, told.build_id, dump)
    found = find(told.build_id, told.kernel_release, default_cache()).vmlinux
    return found or sys.exit(f"no vmlinux of {dump}: kdump-verify image debuginfo NAME")


def _inspect(dump: Path, cache: str, *options: str) -> None:
    """In a cache with nothing in it: what is not given is not found."""
    done = subprocess.run(
        [sys.executable, "-m", "kdump_tests", "inspect", "--json", dump, *options],
        stdout=subprocess.PIPE, check=True, env={"KDUMP_VERIFY_CACHE": cache, "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    (told,) = json.loads(done.stdout)
    if bool(options) != bool(told["analysis"] and told["analysis"]["crashed"]):
        sys.exit(f"{dump}: {told['not_judged'] or 'a vmlinux was found that nobody gave'}")


def _crash(dump: Path, vmlinux: Vmlinux) -> None:
    done = subprocess.run(
        ["crash", "-s", "--no_scroll", vmlinux.path, dump],
        input=_SAME_FACTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if "COMMAND:" not in done.stdout:
        sys.exit(f"crash does not read {dump}:\n{done.stdout[-500:]}")


def _timed(what: Callable[[], None]) -> float:
    begun = time.monotonic()
    what()
    return time.monotonic() - begun


def _shown(seconds: list[float]) -> str:
    middle = statistics.median(seconds)
    return f"{middle:.2f} s (median of {len(seconds)}; {min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
