#!/usr/bin/env python3
"""The same crash as others would have waited for it: their constants replayed on a timeline of ours.

    .venv/bin/python benchmarks/waiting.py [results.jsonl]    else the one of reports/last

Pure computation, no guest. Seconds count from the moment at which an armed machine could be crashed; each
harness gets what it waits for on purpose, and nothing for its own work. Three ends of the same crash:

passed    the machine is back and the vmcore is looked for
hung      the capture kernel starts and nothing comes any more: the harness gives up
panicked  the capture kernel panics just before it would have mounted its target, and the machine hangs

The numbers were read in their sources; where none was found, none is invented. Where these leave a choice,
it is the one that favours the other, and a pause that a good run skips counts nothing.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.crash.timeline import PATIENCE
from kdump_tests.errors import BadInput
from kdump_tests.report.facts import Accelerator, Crash, PhaseReached, read_facts
from kdump_tests.stacks.stack import Phase

LAST = Path(__file__).parents[1] / "reports" / "last" / "results.jsonl"


@dataclass(frozen=True)
class Harness:
    """How one waits, in seconds. The limit is None where no number is known."""

    name: str
    source: str
    before: float = 0.0  # pauses between an armed machine and the trigger
    delay: float = 0.0  # after the trigger, before the first look
    poll: float = 0.0  # from one look to the next; 0: told at once, or nobody says how often
    after: float = 0.0  # once the machine is back, before the vmcore is looked for
    limit: float | None = None  # after the trigger, when it gives up
    awaits: Phase = Phase.LOGIN


HARNESSES = (
    # In the guest, which resumes by itself. The restart of kdump precedes each crash; its 60 s are a retry.
    Harness("CKI kernel-tests", "sleep 10 after kdump's restart, sleep 10 before the trigger", before=20),
    # The first look for the vmcore is at once; the further nine are a retry.
    Harness("kdump-utils (tmt)", "reconnect tick 5 s, reboot 600 s", poll=5, limit=600),
    # The 60 s of uptime come before the reboot that reserves memory, which this guest does not need. One
    # look at the console after 60 s, for an initramfs prompt: it sees no panic (check_initramfs()).
    Harness("LISA", "result poll 5 s, limits from 800 s", poll=5, limit=800),
    # The 240 s for the shell to go silent are over at once; 1200 s for the login is its other setting.
    Harness("tp-qemu", "step 1 s, login 240 s", poll=1, limit=240),
    # Its test was not found again. Both sleeps after the trigger is where a capture hides most of them.
    Harness("tp-libvirt", "sleep(20) and sleep(120)", delay=140),
    # 10 x 10 s are for a service that is still starting. How often it matches the screen is not known.
    Harness("openQA", "crash 800 s", limit=800),
    # Its 5 s sleeps lie before the trigger and in vmcore_check() (OpTestKdump.py), its 10 s in the setup.
    Harness("op-test", "30 s delay, 15 s poll, sleeps of 5 s", before=5, delay=30, poll=15, after=5),
    # Looks for the dump on its network target and never at the machine. Any vmcore* would do, as
    # vmcore-dmesg.txt does; here it is held to the dump, and gets a last look when its limit is up.
    Harness("kola", "sleep 5, 8 x 10 s", before=5, poll=10, limit=80, awaits=Phase.DUMP_SAVED),
    Harness("avocado-misc-tests", "sleep(600), step 10 s", delay=600, poll=10),
    # Reads /proc/vmcore in the capture kernel: no distribution's kdump, but the latency to match.
    Harness("drgn vmtest", "none: virtio-serial end of file"),
)


@dataclass(frozen=True)
class Row:
    """When one notices each of the three ends.

    ``passed`` is None for who gives a good machine up, ``hung`` and ``panicked`` where no limit is known;
    these two are the least there can be when ``at_least`` is set: a fixed pause and no known limit.
    """

    who: str
    passed: float | None
    hung: float | None
    panicked: float | None
    at_least: bool
    source: str


def rows(phases: Sequence[PhaseReached], time_factor: float) -> list[Row]:
    """Ours, then each of the others, on the timeline of one good crash."""
    reached = {Phase(phase.name): phase.seconds for phase in phases}
    stuck = reached[Phase.CAPTURE_KERNEL]
    ours = Row(
        "kdump-verify",
        passed=reached[Phase.LOGIN],
        hung=stuck + PATIENCE[Phase.CAPTURE_KERNEL] * time_factor,
        panicked=reached[Phase.TARGET_MOUNTED],
        at_least=False,
        source="the console's own lines; a deadline per phase, by the host's speed",
    )
    return [ours, *(_row(harness, reached) for harness in HARNESSES)]


def _row(harness: Harness, reached: dict[Phase, float]) -> Row:
    seen = _first_look(harness, reached[harness.awaits])
    # None of them ends at a line of the console: a panic is one more machine that does not answer.
    given_up = _given_up(harness)
    return Row(
        harness.name,
        passed=None if harness.limit is not None and seen > harness.limit
        else harness.before + seen + harness.after,
        hung=given_up,
        panicked=given_up,
        at_least=harness.limit is None,
        source=harness.source,
    )  # fmt: skip


def _first_look(harness: Harness, event: float) -> float:
    """The first look after the trigger that finds it so."""
    late = max(0.0, event - harness.delay)
    if harness.poll:
        late = math.ceil(late / harness.poll) * harness.poll
    return harness.delay + late


def _given_up(harness: Harness) -> float | None:
    if harness.limit is not None:
        return harness.before + harness.limit
    return harness.before + harness.delay if harness.delay else None


def table(all_rows: Sequence[Row]) -> str:
    """As Markdown; in brackets, how many times as long as ours."""
    ours = all_rows[0]
    lines = ["| harness | passed | hung | panicked | by |", "|---|---:|---:|---:|---|"]
    for row in all_rows:
        cells = (
            "gives it up" if row.passed is None else _cell(row.passed, ours.passed),
            _cell(row.hung, ours.hung, at_least=row.at_least),
            _cell(row.panicked, ours.panicked, at_least=row.at_least),
        )
        lines.append(f"| {row.who} | {' | '.join(cells)} | {row.source} |")
    return "\n".join(lines)


def _cell(seconds: float | None, ours: float | None, *, at_least: bool = False) -> str:
    if seconds is None or ours is None:
        return "–"  # noqa: RUF001 - no number, and no minus
    return f"{'≥ ' if at_least else ''}{seconds:.1f} s ({seconds / ours:.2f})"


def main() -> int:
    """Read a report's facts and print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else LAST
    try:
        facts = read_facts(path)
    except BadInput as error:
        sys.exit(str(error))
    crashes = [fact for fact in facts if isinstance(fact, Crash) and not fact.failure]
    factors = [fact.time_factor for fact in facts if isinstance(fact, Accelerator)]
    if not crashes or not factors:
        sys.exit(f"{path} tells of no good crash: there is no timeline to replay")
    print(table(rows(crashes[0].phases, factors[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
