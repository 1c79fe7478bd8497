#!/usr/bin/env python3
"""Crash cycles in a row on warm guests: the same verdict every time, and nothing that leaks.

    .venv/bin/python benchmarks/soak.py                        100 cycles, one side a core
    .venv/bin/python benchmarks/soak.py --cycles 4 --sides 2   fewer

A cycle is a fork, a crash, the capture, the reboot and the look into the vmcore. After each, the process
that did it counts what it holds: file descriptors, threads, memory, listening sockets, QEMU processes, files
in its run's folder. Exit status 1 when a verdict differs or something grew.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from kdump_tests.crash.crash import Crash, crash_guest
from kdump_tests.crash.trigger import Trigger
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.facts import kernel_facts
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.laboratory import Places, opened
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.run import default_base
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB, MIB
from kdump_tests.stacks import STACKS

IMAGE = "debian-12"
# The allocator of a process that reads dumps settles within the first cycles; a leak goes on.
SETTLED_AFTER = 3
LARGEST_GROWTH = 8 * MIB


@dataclass(frozen=True)
class Cycle:
    """One cycle of one side. Seconds; bytes; counts after the guest is gone."""

    side: int
    number: int
    origin: str
    verdict: str
    seconds: float
    memory: int
    descriptors: int
    threads: int
    sockets: int
    machines: int
    files: int

    @property
    def held(self) -> tuple[int, ...]:
        """What must be the same after every cycle."""
        return (self.descriptors, self.threads, self.sockets, self.machines, self.files)


def main() -> int:
    """Run it, print every cycle and the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--sides", type=int, default=os.cpu_count())
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        for cycle in cycles(options.side, options.cycles):
            print(json.dumps(asdict(cycle)), flush=True)
        return 0
    begun = time.monotonic()
    seen = soak(options.cycles, options.sides)
    faults = found_wrong(seen)
    for what, value in summary(seen, time.monotonic() - begun):
        print(f"| {what} | {value} |")
    print("\n".join(faults))
    return 1 if faults else 0


def soak(count: int, sides: int) -> list[Cycle]:
    """``count`` cycles, dealt to as many processes as there are sides."""
    shares = [count // sides + (side < count % sides) for side in range(sides)]
    with ExitStack() as stack:
        told = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in shares]
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--side", str(side), "--cycles", str(share)], stdout=told[side]
            )
            for side, share in enumerate(shares)
        ]
        statuses = [process.wait() for process in processes]
        for file in told:
            file.seek(0)
        seen = [Cycle(**json.loads(line)) for file in told for line in file]
    if any(statuses) or len(seen) != count:
        sys.exit(f"only {len(seen)} of {count} cycles ended: a side left with status {max(statuses)}")
    return seen


def cycles(side: int, count: int) -> Iterator[Cycle]:
    """One side: its cycles in a row, in this process."""
    stack = STACKS["debian"]

    def armed(guest: Guest) -> bool:
        stack.settle(guest.shell, guest.deadline(240, "kdump is armed"))
        return stack.state(guest.shell, guest.command_deadline()).armed

    places = Places(default_cache(), default_base())
    with opened(places, IMAGE, "auto", EMBEDDED) as (lab, image):
        spec = GuestSpec(IMAGE, GIB, image.crashkernel)
        for number in range(1, count + 1):
            folder = Path(tempfile.mkdtemp(prefix="soak-"))
            begun = time.monotonic()
            try:
                with lab.guest(spec, image, folder, armed) as guest:
                    crash = crash_guest(guest, kernel_facts(guest), stack, Trigger.SYSRQ_C)
                    origin = guest.origin.value
                verdict = judge(crash)
            finally:
                shutil.rmtree(folder)
            yield _cycle(side, number, origin, verdict, time.monotonic() - begun, lab.run.folder)


def judge(crash: Crash) -> str:
    """What the suite's tests assert of a crash, in one line."""
    core = crash.dump.vmcore
    return " ".join(
        [
            "complete" if core.complete else f"incomplete: {core.incomplete_because}",
            "ours" if any(crash.nonce in line for line in core.kernel_log) else "another crash's",
            "same kernel" if core.build_id == crash.kernel.build_id else "another kernel's",
            "rebooted" if crash.boot_id_after not in {None, crash.kernel.boot_id} else "not rebooted",
            str(core.panic_message),
            ",".join(event.phase.value for event in crash.timeline.events),
            *(fault.what for fault in crash.timeline.faults),
        ]
    )


def found_wrong(seen: list[Cycle]) -> list[str]:
    """Every way in which the cycles differ that they must not."""
    faults = []
    if len(verdicts := {cycle.verdict for cycle in seen}) != 1:
        faults.append(f"WRONG: {len(verdicts)} verdicts: {sorted(verdicts)}")
    for side in sorted({cycle.side for cycle in seen}):
        own = [cycle for cycle in seen if cycle.side == side]
        settled = own[SETTLED_AFTER] if len(own) > SETTLED_AFTER else own[0]
        last = own[-1]
        if last.held != settled.held:
            faults.append(f"WRONG: side {side} held {settled.held} and then {last.held}")
        if last.memory - settled.memory > LARGEST_GROWTH:
            faults.append(f"WRONG: side {side} grew from {settled.memory >> 20} to {last.memory >> 20} MiB")
    return faults


def summary(seen: list[Cycle], wall: float) -> list[tuple[str, str]]:
    """The rows of a table."""
    sides = {cycle.side for cycle in seen}
    lasts = [max((c for c in seen if c.side == side), key=lambda cycle: cycle.number) for side in sides]
    firsts = [
        next(c for c in seen if c.side == side and c.number == min(SETTLED_AFTER + 1, last.number))
        for side, last in zip(sides, lasts, strict=True)
    ]
    took = sorted(cycle.seconds for cycle in seen)
    rows = [
        ("cycles", f"{len(seen)}, {len(sides)} side by side, in {wall / 60:.0f} min"),
        ("verdicts", f"{len({cycle.verdict for cycle in seen})}: {seen[0].verdict.split(' sysrq')[0]}"),
        ("forked", f"{sum(cycle.origin.startswith('fork') for cycle in seen)} of {len(seen)}"),
        ("a cycle", f"{took[len(took) // 2]:.0f} s (median; {took[0]:.0f} to {took[-1]:.0f})"),
    ]
    for what in ("descriptors", "threads", "sockets", "machines", "files"):
        before, after = ([getattr(c, what) for c in cycles_] for cycles_ in (firsts, lasts))
        rows.append((f"{what} after cycle {SETTLED_AFTER + 1} and at the end", f"{before} → {after}"))
    before, after = ([c.memory >> 20 for c in cycles_] for cycles_ in (firsts, lasts))
    rows.append(("memory of a process, MiB", f"{before} → {after}"))
    return rows


def _cycle(side: int, number: int, origin: str, verdict: str, seconds: float, folder: Path) -> Cycle:
    me = psutil.Process()
    machines = sum(f"{folder}/" in " ".join(_command(process)) for process in psutil.process_iter())
    return Cycle(
        side=side,
        number=number,
        origin=origin,
        verdict=verdict,
        seconds=round(seconds, 1),
        memory=me.memory_info().rss,
        descriptors=me.num_fds(),
        threads=me.num_threads(),
        sockets=len(me.net_connections("all")),
        machines=machines,
        files=sum(1 for _ in folder.rglob("*")),
    )


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


if __name__ == "__main__":
    sys.exit(main())
