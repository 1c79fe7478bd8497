#!/usr/bin/env python3
"""Machines that others made, as runs of the suite found them: one line a run, out of its own report.

    .venv/bin/python benchmarks/machines.py --record                 every long test, hours under TCG
    .venv/bin/python benchmarks/machines.py --record -k vmdk         those that pytest's -k chooses
    .venv/bin/python benchmarks/machines.py --record --of FOLDER     reports of runs that were made before

With --record the lines go into benchmarks/MACHINES.md; what was not run again keeps its line. Exit status:
pytest's.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

from results import PROJECT, Line, as_line, enter, here, in_words

from kdump_tests.guest.image import Image
from kdump_tests.report.facts import (
    Dump,
    Fact,
    GuestBooted,
    Reservation,
    RunEnded,
    RunStarted,
    Verdict,
    read_facts,
)
from kdump_tests.report.words import NodeId
from kdump_tests.sizes import format_size
from kdump_tests.stacks.boot_loader import value_in

_TABLE = PROJECT / "benchmarks" / "MACHINES.md"
_FACTS = "results.jsonl"
# GRUB names what it loaded (grub_cmd_linux() in loader/i386/linux.c); QEMU's direct boot does not.
_BY_GRUB = "BOOT_IMAGE="

F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class Machine(Line):
    """What was run, and what its report says became of it."""

    machine: str
    asked: str
    outcome: str
    command_line: str
    kept_aside: str
    dump: str
    seconds: str
    day: str

    @classmethod
    def of(cls, report: Path) -> Self | None:
        """Out of a report; None where the run was killed, or was not of such a machine."""
        told = read_facts(report / _FACTS)
        started, ended = _first(told, RunStarted), _first(told, RunEnded)
        if started is None or ended is None or not (machine := _machine(started.plan)):
            return None
        booted, dump = _first(told, GuestBooted), _first(told, Dump)
        kept = next((fact for fact in told if isinstance(fact, Reservation) and not fact.probed_only), None)
        return cls(
            machine=machine,
            asked=", ".join(filter(None, (_asked(started.plan), *_circumstances(started.command)))),
            outcome=_outcome(told, ended.exit_status).replace(*_path_and_name(started.plan)),
            command_line=_command_line(booted) if booted else "",
            kept_aside="" if kept is None or kept.kept is None else format_size(kept.kept),
            dump=in_words(report, dump) if dump else "",
            seconds=f"{ended.seconds:.0f} s",
            day=f"{datetime.fromtimestamp(started.at, UTC):%Y-%m-%d}",
        )

    @property
    def key(self) -> str:
        """How the line of a run like this one begins."""
        return as_line(self.machine, self.asked)


def main() -> int:
    """Run what is asked for, tell, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="the long tests whose names match")
    parser.add_argument("--of", metavar="FOLDER", type=Path, help="where reports lie: nothing is run")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/MACHINES.md")
    options = parser.parse_args()
    if options.of:
        _tell(options.of, record=options.record)
        return 0
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pytest", "--durations=0", "-m", "long", f"--basetemp={name}/runs"]
        command += ["-k", options.k] if options.k else []
        status = subprocess.run([*command, "kdump_tests/e2e"], cwd=PROJECT, check=False).returncode
        _tell(Path(name), record=options.record)
    return status


def _tell(folder: Path, *, record: bool) -> None:
    # pytest leaves links to its newest folders, which hold nothing of their own.
    reports = {path.parent.resolve() for path in folder.rglob(_FACTS)}
    for report in sorted(reports, key=lambda each: (each / _FACTS).stat().st_mtime):
        if line := Machine.of(report):
            print(line.as_line, flush=True)
            if record:
                enter(_TABLE, _head(), line.key, line.as_line)


def _first(told: tuple[Fact, ...], kind: type[F]) -> F | None:
    return next((fact for fact in told if isinstance(fact, kind)), None)


def _machine(plan: Mapping[str, str]) -> str:
    """Which it was, as its user would call it; nothing for a guest of the project's own making."""
    if "existing host" in plan:
        return "an existing host"
    if plan.get("kernel"):
        return f"{plan['image']} with a kernel of the user's"
    if not Image.load(plan["image"]).boots_by_firmware:
        return ""
    named, _, path = plan["image"].rpartition("=")
    name = path if "/" not in path else f"{Path(path).stem}, {Path(path).suffix.lstrip('.')}"
    return ", ".join(filter(None, (named, name, plan["firmware"] or "bios")))


def _path_and_name(plan: Mapping[str, str]) -> tuple[str, str]:
    path = plan.get("image", "").rpartition("=")[2]
    return path, Path(path).name


def _asked(plan: Mapping[str, str]) -> str:
    if "existing host" in plan:
        console = "console by a command" if plan["console by"].split(":")[0] != "none" else "no console"
        return ", ".join(filter(None, (console, f"crashed as {plan['may be crashed as']}",
                                       plan["kdump settings"])))  # fmt: skip
    modules = f"modules from {Path(given).name}" if (given := plan.get("modules")) else ""
    told = (f"crashkernel={plan['crashkernel']}", f"{plan['memory tiers']} of memory", modules)
    return ", ".join(filter(None, told))


def _circumstances(command: Sequence[str]) -> Iterator[str]:
    """What a plugin did to the machine before it was crashed."""
    for option, plugin in pairwise(command):
        if option == "-p" and not plugin.startswith("no:"):
            yield plugin.rpartition(".")[2].replace("_", " ")


def _outcome(told: tuple[Fact, ...], status: int) -> str:
    verdicts = [fact for fact in told if isinstance(fact, Verdict)]
    passed = sum(verdict.outcome == "passed" for verdict in verdicts)
    if status == 0:
        return f"verified: {passed} checks"
    bad = [verdict for verdict in verdicts if verdict.outcome in {"failed", "error"}]
    words = next((line for verdict in bad for line in verdict.message.splitlines() if line.strip()), "")
    names = ", ".join(dict.fromkeys(NodeId.parse(verdict.test).function for verdict in bad))
    return f"exit status {status}: {words if status > 1 else names}"


def _command_line(booted: GuestBooted) -> str:
    by = "GRUB: " if _BY_GRUB in booted.command_line else ""
    value = value_in(booted.command_line)
    return f"{by}{'no crashkernel=' if value is None else f'crashkernel={value}'}"


def _head() -> str:
    return f"""\
# Machines that others made, as runs of the suite found them

`.venv/bin/python benchmarks/machines.py --record`; last on {here()}.

A line is one run, and all of it is that run's own report's word: what its kernel was given, by which boot
loader, what it keeps aside, and the dump if it was crashed. A run that asked for one thing alone (the
service, the reservation) has few checks. An exit status of 1 is a machine that must fail, one of 66 a disk
that nobody can enter or install kdump on; that these end so is what `kdump_tests/e2e` asserts.

| machine | asked for | outcome | command line | kept aside | dump | time | day |
|---|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    raise SystemExit(main())
