"""Facts to report: a good run's, and all that could be said of a bad one."""

from collections.abc import Mapping
from dataclasses import fields

from hypothesis import strategies as st

from kdump_tests.report.facts import (
    FACTS,
    Artifact,
    Crash,
    Dump,
    Fact,
    GuestBooted,
    Outcome,
    PhaseReached,
    PredictedSize,
    RunEnded,
    RunStarted,
    Section,
    StepDone,
    Verdict,
)

AT = 1795426736.5
GUEST = "debian-13-2G"
STARTED = RunStarted(
    "8f3a", AT, ("pytest",), {"python": "3.11"}, {"hostname": "lab-3"}, {"image": "debian-13"}
)
BOOTED = GuestBooted(
    GUEST, "debian-13", "6c1f", 2 << 30, 1, "6.12", "root=/dev/vda", 14.2, "b1e0", f"guests/{GUEST}",
    "auto", "192M", "auto is unknown",
)  # fmt: skip
CRASH = Crash(
    GUEST, "sysrq-c", "kv-5f", "b1e0", "7f10", (PhaseReached("panic", 0.1, "Kernel panic"),), "login", ""
)
DUMP = Dump(
    GUEST, "/var/crash/1", (Artifact("vmcore", 73400320, "0600", "root", ""),), "elf", True, "",
    "6.12", "9d2f", 1795426930, "sysrq triggered crash", 0.8,
)  # fmt: skip
PASSED = Verdict("t/test_dump.py::test_vmcore_is_complete[debian-13-2G]", "passed", 0.02, "", GUEST)
FAILED = Verdict(
    "t/test_crash.py::test_dump_is_saved", "failed", 0.1, "CaptureFailed: no dump\n  a   b", GUEST
)
ERROR = Verdict("t/test_crash.py::test_it_boots", "error", 0.1, "GuestLost: it is gone", GUEST)
SKIPPED = Verdict("t/test_crash.py::test_it_reboots", "skipped", 0.1, "not judged: see above", GUEST)
STEP = StepDone(GUEST, "booting", AT + 1, 14.2, False)
ENDED = RunEnded(AT + 60, 0, 60.0)
GOOD_RUN: tuple[Fact, ...] = (STARTED, BOOTED, STEP, CRASH, DUMP, PASSED, ENDED)


def all_facts(text: st.SearchStrategy[str]) -> st.SearchStrategy[Fact]:
    """Every kind of fact, its texts drawn from ``text``, its numbers from all that could come."""
    number, real = st.integers(-(2**70), 2**70), st.floats(0, 4e9)
    shapes: dict[object, st.SearchStrategy[object]] = {
        str: text,
        int: number,
        float: real,
        bool: st.booleans(),
        str | None: st.none() | text,
        int | None: st.none() | number,
        bool | None: st.none() | st.booleans(),
        Outcome: st.sampled_from(["passed", "failed", "error", "skipped"]),
        tuple[str, ...]: st.lists(text, max_size=2).map(tuple),
        Mapping[str, str]: st.dictionaries(text, text, max_size=2),
        tuple[PhaseReached, ...]: st.lists(st.builds(PhaseReached, text, real, text), max_size=2).map(tuple),
        tuple[Section, ...]: st.lists(st.builds(Section, text, text), max_size=2).map(tuple),
        tuple[PredictedSize, ...]: st.lists(st.builds(PredictedSize, number, number), max_size=4).map(tuple),
        tuple[Artifact, ...]: st.lists(st.builds(Artifact, text, number, text, text, text), max_size=2).map(
            tuple
        ),
    }
    facts: list[st.SearchStrategy[Fact]] = [
        st.builds(kind, **{field.name: shapes[field.type] for field in fields(kind)})
        for kind in FACTS.values()
    ]
    return st.one_of(facts)
