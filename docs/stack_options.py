#!/usr/bin/env python3
"""docs/stack-options.md, made from the stacks' own words and from runs of the suite.

    .venv/bin/python docs/stack_options.py                                 write it anew
    .venv/bin/python docs/stack_options.py --record reports/RUN --guest G  take a run for what it verified

A run counts if it ended well and crashed a guest. What it verified is kept in docs/verified.jsonl; those of
benchmarks/targets.py are taken from its own table.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from kdump_tests.errors import BadInput
from kdump_tests.report import facts
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.support import Verified, table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))
from targets import CASES  # noqa: E402 - it lies beside its kin

RUNS = HERE / "verified.jsonl"
PAGE = HERE / "stack-options.md"
BENCHMARKS = HERE.parent / "benchmarks"
# By the package that brings it.
STACK_OF = {"kdump-tools": "debian", "kdump-utils": "el", "kexec-tools": "el", "kdump": "suse"}
TEXT = """\
# What each stack makes of kdump.conf

Made by `docs/stack_options.py`. *verified*: a run of the whole suite with that option in `--kdump-conf`
passed, with a real crash in a real guest. *translated, unverified*: the stack is told so, and no such run is
recorded. *not supported*: the stack cannot say it, and the suite skips it by name.

- **debian** is kdump-tools of the project's own images.
- **el** is tried with upstream's kdump-utils on Debian's kernel, dracut, kexec-tools and makedumpfile; on no
  system of Red Hat's kin yet. What older releases (RHEL 7 to 9) do otherwise is by their documentation.
  SELinux labels of dumps are not looked at.
- **suse** is read in its sources and tried with nothing yet. Its kdump differs from what kdump.conf's words
  promise: a `kdump_pre` that fails does not keep it from saving, and `kdump_post` is told no status.
- fadump (ppc64le) is recognised and reported; no guest here can be crashed with it.

$table
"""


def recorded() -> tuple[Verified, ...]:
    """All runs that count."""
    lines = RUNS.read_text().splitlines() if RUNS.exists() else []
    return (*(Verified(**json.loads(line)) for line in lines), *_of_targets())


def _of_targets() -> Iterator[Verified]:
    """The lines of benchmarks/TARGETS.md that say so of a configuration in kdump.conf's words alone."""
    confs = {case.name: case.conf for case in CASES if case.conf and not case.settings}
    for line in (BENCHMARKS / "TARGETS.md").read_text().splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) != 8 or columns[1] not in confs:
            continue
        image, package, _ = columns[2].split(", ", 2)
        stack = STACK_OF[package.partition(" ")[0]]
        guest = image if stack == "debian" else f"{image} with {package}"
        conf = f"{confs[columns[1]]}\n"
        if columns[3].startswith(("verified: ", "ended as told: ")):
            yield Verified(stack, guest, columns[6], conf, saved=columns[3].startswith("verified"))


def verified_by(report: Path, guest: str) -> Verified:
    """What a run verified.

    Raises:
        BadInput: it verified nothing.
    """
    run = facts.read_facts(report / "results.jsonl")
    started = next(fact for fact in run if isinstance(fact, facts.RunStarted))
    ended = next((fact for fact in run if isinstance(fact, facts.RunEnded)), None)
    crashes = sum(isinstance(fact, facts.Dump) and bool(fact.complete) for fact in run)
    if ended is None or ended.exit_status != 0 or not crashes:
        raise BadInput(f"{report} verified nothing", ended=ended, complete_dumps=crashes)
    day = datetime.fromtimestamp(started.at, UTC)
    return Verified(started.plan["stack"], guest, f"{day:%Y-%m-%d}", started.plan["kdump.conf"])


def main() -> None:
    """Record, if asked to, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="REPORT")
    parser.add_argument("--guest", help="what guest that was, in words")
    chosen = parser.parse_args()
    if chosen.record:
        try:
            run = verified_by(chosen.record, chosen.guest or parser.error("--record needs --guest"))
        except BadInput as error:
            sys.exit(str(error))
        with RUNS.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")
    PAGE.write_text(TEXT.replace("$table", table(STACKS, recorded())))


if __name__ == "__main__":
    main()
