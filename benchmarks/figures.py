#!/usr/bin/env python3
"""What warm guests, packing and waiting for events bring: every promised figure, as ratios within one run.

    .venv/bin/python benchmarks/figures.py fork        a fork against the cold boot to the same state
    .venv/bin/python benchmarks/figures.py suite       warm and packed against cold and one after another
    .venv/bin/python benchmarks/figures.py overhead    our crash cycle against a bare shell script's
    .venv/bin/python benchmarks/figures.py waiting     the same cycle with other suites' waiting habits
    .venv/bin/python benchmarks/figures.py matrix      asking a kernel against booting the machines whole
    .venv/bin/python benchmarks/figures.py soak        100 crash cycles in a row
    .venv/bin/python benchmarks/figures.py             all, on a machine with nothing else to do: 2 h

Each prints a table, and with --record writes it into its section of benchmarks/RESULTS.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matrix as probing
import soak as soak_cycles
import waiting as habits
from results import PROJECT, Row, record, table

from kdump_tests.crash.crash import crash_guest
from kdump_tests.crash.trigger import Trigger
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.facts import kernel_facts, witnesses
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.laboratory import Places, opened
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.run import default_base
from kdump_tests.guest.saved_state import SavedStates, chosen_limit
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.report.facts import Accelerator, Crash, Verdict, read_facts
from kdump_tests.sizes import GIB
from kdump_tests.stacks import STACKS

IMAGE = "debian-12"
STACK = STACKS["debian"]
SMALLEST_FORK_RATIO, SMALLEST_SUITE_RATIO, LARGEST_OVERHEAD, LONGEST_SUITE = 15, 2.5, 0.03, 150


def main() -> int:
    """Measure what is asked for, print it, record it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", nargs="*", help=f"{', '.join(FIGURES)} (default: all)")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/RESULTS.md")
    options = parser.parse_args()
    names = options.figure or list(FIGURES)
    if len(names) > 1:
        # Each in a process of its own: libvirt's embedded driver opens once in a process.
        again = ["--record"] if options.record else []
        return max(
            subprocess.run([sys.executable, __file__, name, *again], check=False).returncode
            for name in names
        )
    for name in names:
        title, measure = FIGURES[name]
        text = measure()
        print(f"{title}\n\n{text}\n", flush=True)
        if options.record:
            record(title, f"benchmarks/figures.py {name} --record", text)
    return 0


def fork() -> str:
    """Three forks and one cold boot, each until an armed guest answers by SSH; the medians of them."""
    with _laboratory() as (lab, image), tempfile.TemporaryDirectory() as scratch:
        spec = GuestSpec(IMAGE, GIB, image.crashkernel)
        cold: list[float] = []
        warm: list[float] = []
        states = lab.states
        for number in range(8):
            lab.states = states if number % 4 else None
            begun = time.monotonic()
            with lab.guest(spec, image, _folder(scratch, number), _armed) as guest:
                if lab.states is None:
                    assert _armed(guest)
                    cold.append(time.monotonic() - begun)
                else:
                    warm.append(time.monotonic() - begun)
                    assert number == 1 or guest.origin.value.startswith("fork"), guest.origin_because
    del warm[0]  # it may have made the state
    ratio = statistics.median(cold) / statistics.median(warm)
    return table(
        [
            Row("cold boot to an armed guest that answers", _spread(cold)),
            Row("fork of a saved one to the same", _spread(warm)),
            Row("ratio of the medians", f"{ratio:.1f}", f"at least {SMALLEST_FORK_RATIO}"),
        ]
    )


def suite() -> str:
    """The main job: cold and one after another, then warm and packed, with the same tests."""
    _timed_suite("-k", "service or reservation")  # makes the saved states
    slow, slow_checks = _timed_suite("--cold", "-n", "1")
    fast, checks = _timed_suite()
    assert checks == slow_checks
    return table(
        [
            Row("cold, one after another (`--cold -n 1`)", f"{slow:.0f} s, {slow_checks} checks"),
            Row(
                "warm, side by side (the default)",
                f"{fast:.0f} s, {checks} checks",
                f"under {LONGEST_SUITE} s",
            ),
            Row("ratio", f"{slow / fast:.2f}", f"at least {SMALLEST_SUITE_RATIO}"),
        ]
    )


def overhead(pairs: int = 3) -> str:
    """From the trigger to the login that follows the reboot, in turns: a bare script's cycle and ours."""
    bare: list[float] = []
    ours: list[float] = []
    with _laboratory() as (lab, image), tempfile.TemporaryDirectory() as scratch:
        spec = GuestSpec(IMAGE, GIB, image.crashkernel)
        for number in range(pairs):
            bare.append(_bare_cycle(image, Path(scratch) / f"bare-{number}"))
            with lab.guest(spec, image, _folder(scratch, number), _armed) as guest:
                crash = crash_guest(guest, kernel_facts(guest), STACK, Trigger.SYSRQ_C)
            ours.append(crash.timeline.events[-1].seconds)
    share = statistics.median(ours) / statistics.median(bare) - 1
    return table(
        [
            Row("a bare shell script's cycle", _spread(bare)),
            Row("ours", _spread(ours)),
            Row("overhead, of the medians", f"{share:+.1%}", f"at most {LARGEST_OVERHEAD:.0%}"),
        ]
    )


def waiting() -> str:
    """The cycle of the newest report, replayed with the constants of other suites."""
    facts = read_facts(PROJECT / "reports" / "last" / "results.jsonl")
    crash = next(fact for fact in facts if isinstance(fact, Crash))
    factor = next(fact for fact in facts if isinstance(fact, Accelerator)).time_factor
    return habits.table(habits.rows(crash.phases, factor))


def matrix() -> str:
    """The probe's costs, and what they spare."""
    with _laboratory() as (lab, image), tempfile.TemporaryDirectory() as scratch:
        lab.states = None

        def boot(memory: int) -> float:
            spec = GuestSpec(IMAGE, memory, image.crashkernel)
            begun = time.monotonic()
            with lab.guest(spec, image, _folder(scratch, memory), _armed) as guest:
                witnesses(guest)
                return time.monotonic() - begun

        return table(probing.rows(image, lab.accelerator.name, boot))


def soak() -> str:
    """100 cycles."""
    begun = time.monotonic()
    seen = soak_cycles.soak(100, os.cpu_count() or 1)
    faults = soak_cycles.found_wrong(seen)
    rows = [Row(what, value) for what, value in soak_cycles.summary(seen, time.monotonic() - begun)]
    return table([*rows, Row("found wrong", "; ".join(faults) or "nothing", "nothing")])


FIGURES: dict[str, tuple[str, Callable[[], str]]] = {
    "fork": ("A fork against a cold boot", fork),
    "suite": ("The suite, warm and packed against cold and in a row", suite),
    "overhead": ("Our overhead against a bare shell script", overhead),
    "waiting": ("The waiting habits of other suites, on our timeline", waiting),
    "matrix": ("Asking a kernel against booting the machines whole", matrix),
    "soak": ("Soak", soak),
}


@contextmanager
def _laboratory() -> Iterator[tuple[Lab, BuiltImage]]:
    places = Places(default_cache(), default_base())
    with opened(places, IMAGE, "auto", EMBEDDED) as (lab, image):
        lab.states = SavedStates(places.cache, chosen_limit())
        yield lab, image


def _armed(guest: Guest) -> bool:
    STACK.settle(guest.shell, guest.deadline(240, "kdump is armed"))
    return STACK.state(guest.shell, guest.command_deadline()).armed


def _folder(scratch: str, number: int) -> Path:
    folder = Path(scratch) / str(number)
    folder.mkdir()
    return folder


def _timed_suite(*arguments: str) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as reports:
        begun = time.monotonic()
        command = [
            str(PROJECT / "scripts" / "verify"),
            f"--reports={reports}",
            *arguments,
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        took = time.monotonic() - begun
        told = read_facts(Path(reports) / "last" / "results.jsonl")
    return took, sum(isinstance(fact, Verdict) for fact in told)


def _bare_cycle(image: BuiltImage, folder: Path) -> float:
    script = PROJECT / "benchmarks" / "bare_cycle.sh"
    said = subprocess.run([script, image.folder, folder], check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(folder, ignore_errors=True)
    return next(float(line.split()[1]) for line in said.stdout.splitlines() if line.startswith("cycle "))


def _spread(seconds: list[float]) -> str:
    middle = statistics.median(seconds)
    return f"{middle:.2f} s (median of {len(seconds)}; {min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    ImageStore(default_cache()).get(IMAGE)
    sys.exit(main())
