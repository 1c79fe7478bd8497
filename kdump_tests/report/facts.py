"""What a run found out, and how one line of ``results.jsonl`` says it.

One JSON object per line, in the order in which things became known, ASCII only. ``kind`` names the
fact. Times called ``at`` are seconds since 1970 (UTC), durations are seconds, sizes are bytes, paths
of the report are relative to its folder. ``null`` is "not known", and so is an empty text. A line is
a fact once its newline is written: what a killed run left behind the last newline does not count.

The run begins::

    {"kind": "run_started", "id": "8f3a", "at": 1795426736.5, "command": ["pytest", "--image", "debian-13"],
     "versions": {"kdump-verify": "0.1.0", "python": "3.11.7", "qemu": "7.2.19", "drgn": "0.3.0"},
     "host": {"hostname": "lab-3", "cpu": "AMD EPYC 7763", "memory": "64 GiB"},
     "plan": {"image": "debian-13", "memory": "2G", "trigger": "sysrq"}}

What the guests run on; every duration was allowed to take ``time_factor`` times as long as on KVM::

    {"kind": "accelerator", "name": "tcg", "because": "/dev/kvm is absent", "time_factor": 11.5}

A guest is up. ``crashkernel_requested`` is what the plan says, ``crashkernel_passed`` what the kernel
was given, ``crashkernel_because`` why these differ. ``boot_seconds`` runs from power on, or from the
start of the fork, to a shell; ``origin`` says which of the two it was, ``origin_because`` why, or what is
known of the state it was forked from. ``keeps_dumps_of`` names the guest whose dump server it is::

    {"kind": "guest_booted", "guest": "debian-13-2G", "image": "debian-13", "image_digest": "sha256:6c1f",
     "memory": 2147483648, "vcpus": 2, "kernel_release": "6.12.57+deb13-amd64",
     "command_line": "root=/dev/vda1 console=ttyS0 crashkernel=192M", "boot_seconds": 14.2,
     "boot_id": "b1e0c5d2-5a5e-4a53-8d7c-0b9f6a2f1c11", "folder": "guests/debian-13-2G",
     "crashkernel_requested": "auto", "crashkernel_passed": "192M",
     "crashkernel_because": "auto is unknown to this kernel; Debian's own default instead",
     "origin": "fork of a saved state", "origin_because": "saved 2026-11-23 09:38:56 UTC",
     "keeps_dumps_of": "",
     "kdump": "debian: kdump-tools.service is active (enabled); armed, by a capture kernel"}

How much was kept aside for the capture kernel on that much memory, by up to five witnesses: the policy
(``expected``), kexec_crash_size, /proc/iomem, the boot log, and what the same kernel said to ``probe``,
which boots it just far enough. Each is the total, of which ``low`` lies below 4 GiB as a second piece.
``at_least``: the policy states the smallest size that will do, more is as good. ``because`` says why
nothing is expected. A tier too large for the host is only probed: the three that need a guest are null::

    {"kind": "reservation", "guest": "debian-13-2G", "memory": 2147483648, "expected": 201326592,
     "sysfs": 201326592, "iomem": 201326592, "boot_log": null, "probe": 201326592, "low": 0,
     "kernel": "6.12.57+deb13-amd64", "at_least": false, "because": ""}

How much this kernel should keep aside at every size of memory, and ``because`` of what: a step function,
sampled on both sides of each edge and sorted by memory::

    {"kind": "prediction", "kernel": "6.12.57+deb13-amd64", "crashkernel": "2G-4G:192M,4G-:256M",
     "because": "the ranges as written",
     "points": [{"memory": 2147483648, "total": 201326592}, {"memory": 4293918720, "total": 201326592},
                {"memory": 4294967296, "total": 268435456}]}

Something the suite did; ``subject`` is a guest's name, or what else it was done to::

    {"kind": "step_done", "subject": "debian-13-2G", "what": "boot", "at": 1795426740.1, "seconds": 14.2,
     "failed": false}

One crash. Phases are in the order they were reached, with the seconds since the trigger was pulled
and the console line that proves it; ``ended`` is the last one's name. ``failure`` is empty when all
went as it must, ``boot_id_after`` null when nobody came back::

    {"kind": "crash", "guest": "debian-13-2G", "trigger": "sysrq", "nonce": "kv-5f0e1c",
     "boot_id_before": "b1e0c5d2-5a5e-4a53-8d7c-0b9f6a2f1c11", "boot_id_after": null,
     "phases": [{"name": "panic", "seconds": 0.1,
                 "line": "[   42.1] Kernel panic - not syncing: sysrq triggered crash"}],
     "ended": "panic", "failure": "no capture kernel started within 60 s", "foreseen": "",
     "last_words": "Kernel panic - not syncing: sysrq triggered crash", "read_in": "console",
     "task": "sh (PID 412) on CPU 0"}

``foreseen`` is the failure that a trigger must end in where there can be no dump, empty where there must be
one. ``last_words`` is the line by which the kernel told what it died of, and ``read_in`` where it was found.

What the crash of that guest left, ``path`` being where it lay (on its disk, or its dump server's).
``complete`` is null when nobody could tell; ``local`` is the copy in the report, empty when there is
none. ``crash_time`` is the dump's own word for when, in seconds since 1970::

    {"kind": "dump", "guest": "debian-13-2G", "path": "/var/crash/202611230942",
     "files": [{"name": "vmcore", "size": 73400320, "mode": "0600", "owner": "root", "local": ""}],
     "format": "kdump-compressed", "complete": true, "incomplete_because": "",
     "kernel_release": "6.12.57+deb13-amd64", "build_id": "9d2f41c0", "crash_time": 1795426930,
     "panic_message": "sysrq triggered crash", "seconds_to_judge": 0.8}

What one judge made of that dump with its kernel's debug information: ``facts`` by name, ``sections`` as the
judge tells them, ``log`` all of it as a file of the report. ``not_judged`` says what could not be told::

    {"kind": "analysis", "guest": "debian-13-2G", "judge": "drgn 0.3.0", "seconds": 1.9,
     "vmlinux": "/usr/lib/debug/boot/vmlinux-6.12.57+deb13-amd64", "log": "", "not_judged": "",
     "facts": {"crashed": "sh (PID 338) on CPU 0"},
     "sections": [{"title": "backtrace", "text": "panic (kernel/panic.c:358:3)"}]}

Something that went well and still is worth a look, and what made it so: trouble of a capture that saved its
dump, with the first of ``count`` lines that say so, or a judge who cannot read what the other reads::

    {"kind": "finding", "guest": "debian-13-2G", "what": "captured, but: a disk failed to read or write",
     "when": "dump saved", "lines": ["[   24.4] I/O error, dev vda, sector 179656"], "count": 6}

One check's outcome: ``failed`` is the product's fault, ``error`` the laboratory's, ``skipped`` comes
with its reason. ``test`` is pytest's node id, ``guest`` the guest it judged, if it judged one::

    {"kind": "verdict", "test": "kdump_tests/verification/test_dump.py::test_vmcore_is_complete[sysrq]",
     "outcome": "passed", "seconds": 0.02, "message": "", "guest": "debian-13-2G"}

Something that a reader should know and that judges nothing: a group of tests that ran once more because
its process had died::

    {"kind": "note", "at": 1795426990.2, "subject": "debian-13-2G", "text": "its process died of SIGKILL"}

The run ends. Without this line it was killed, or still runs. ``exit_status`` is pytest's::

    {"kind": "run_ended", "at": 1795427001.0, "exit_status": 0, "seconds": 264.5}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from kdump_tests.errors import BadInput
from kdump_tests.sizes import MIB

Outcome = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class RunStarted:
    """The run begins. JUnit's host name is ``host["hostname"]``."""

    kind: ClassVar[str] = "run_started"
    id: str
    at: float
    command: tuple[str, ...]
    versions: Mapping[str, str]
    host: Mapping[str, str]
    plan: Mapping[str, str]


@dataclass(frozen=True)
class Accelerator:
    """What the guests run on, and how much slower than KVM that was measured to be."""

    kind: ClassVar[str] = "accelerator"
    name: str
    because: str
    time_factor: float


@dataclass(frozen=True)
class GuestBooted:
    """A guest is up."""

    kind: ClassVar[str] = "guest_booted"
    guest: str
    image: str
    image_digest: str
    memory: int
    vcpus: int
    kernel_release: str
    command_line: str
    boot_seconds: float
    boot_id: str
    folder: str
    crashkernel_requested: str
    crashkernel_passed: str
    crashkernel_because: str
    origin: str = ""  # reports from before there were forks have neither
    origin_because: str = ""
    keeps_dumps_of: str = ""  # the guest that sends its dumps to this one
    kdump: str = ""  # which it is, and how it stands; reports from before there were several have none


@dataclass(frozen=True)
class Reservation:
    """Memory kept aside for the capture kernel, by up to five witnesses; None where one is silent."""

    kind: ClassVar[str] = "reservation"
    guest: str
    memory: int
    expected: int | None
    sysfs: int | None
    iomem: int | None
    boot_log: int | None
    probe: int | None = None  # reports from before there were probes have none of these
    low: int | None = None
    kernel: str = ""
    at_least: bool = False
    because: str = ""

    @property
    def kept(self) -> int | None:
        """How much it was, by the best witness that speaks: iomem has every piece to the byte."""
        return next(iter(self._seen), None)

    @property
    def probed_only(self) -> bool:
        """Whether no guest of this size ran: its kernel only said what it would keep."""
        return self.probe is not None and len(self._seen) == 1

    @property
    def agree(self) -> bool | None:
        """Whether all that speak say the same; None when fewer than two speak."""
        if len(self._seen) + (self.expected is not None) < 2:
            return None
        return not any(map(self.differs, self._seen))

    def differs(self, said: int) -> bool:
        """Whether a witness that says so is at odds with the policy, or with the best witness."""
        if self.at_least and self.expected is not None and said + MIB <= self.expected:
            return True
        exact = self.expected if self.expected is not None and not self.at_least else self.kept
        return exact is not None and not self._alike(said, exact)

    def _alike(self, said: int, exact: int) -> bool:
        """Linux 6.1's boot log speaks in whole MiB, and its sysfs leaves out the low piece."""
        return any(0 <= size - said < MIB for size in (exact, exact - (self.low or 0)))

    @property
    def _seen(self) -> tuple[int, ...]:
        said = (self.iomem, self.sysfs, self.boot_log, self.probe)
        return tuple(size for size in said if size is not None)


@dataclass(frozen=True)
class PredictedSize:
    """How much should be kept aside in all on that much memory."""

    memory: int
    total: int


@dataclass(frozen=True)
class Prediction:
    """How much this kernel should keep aside at every size of memory, and because of what."""

    kind: ClassVar[str] = "prediction"
    kernel: str
    crashkernel: str
    because: str
    points: tuple[PredictedSize, ...]


@dataclass(frozen=True)
class StepDone:
    """Something the suite did."""

    kind: ClassVar[str] = "step_done"
    subject: str
    what: str
    at: float
    seconds: float
    failed: bool


@dataclass(frozen=True)
class PhaseReached:
    """How far a crash got: seconds since the trigger, and the console line that proves it."""

    name: str
    seconds: float
    line: str


@dataclass(frozen=True)
class Crash:
    """One crash, from the trigger to the last phase that was reached."""

    kind: ClassVar[str] = "crash"
    guest: str
    trigger: str
    nonce: str
    boot_id_before: str
    boot_id_after: str | None
    phases: tuple[PhaseReached, ...]
    ended: str
    failure: str
    foreseen: str = ""
    last_words: str = ""
    read_in: str = ""
    task: str = ""


@dataclass(frozen=True)
class Artifact:
    """A file of a dump, as the guest has it; ``local`` is its copy in the report."""

    name: str
    size: int
    mode: str
    owner: str
    local: str


@dataclass(frozen=True)
class Dump:
    """What the crash of ``guest`` left behind, looked into."""

    kind: ClassVar[str] = "dump"
    guest: str
    path: str
    files: tuple[Artifact, ...]
    format: str
    complete: bool | None
    incomplete_because: str
    kernel_release: str
    build_id: str
    crash_time: int | None
    panic_message: str
    seconds_to_judge: float


@dataclass(frozen=True)
class Section:
    """A piece of what a judge said, as it said it."""

    title: str
    text: str


@dataclass(frozen=True)
class Analysis:
    """What one judge made of a guest's dump with debug information."""

    kind: ClassVar[str] = "analysis"
    guest: str
    judge: str
    seconds: float
    vmlinux: str
    facts: Mapping[str, str]
    sections: tuple[Section, ...]
    log: str
    not_judged: str


@dataclass(frozen=True)
class Finding:
    """Something that judges nothing and is worth a look, with the lines that say so."""

    kind: ClassVar[str] = "finding"
    guest: str
    what: str
    when: str
    lines: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Verdict:
    """One check's outcome."""

    kind: ClassVar[str] = "verdict"
    test: str
    outcome: Outcome
    seconds: float
    message: str
    guest: str = ""


@dataclass(frozen=True)
class Note:
    """Something that a reader should know, and that judges nothing."""

    kind: ClassVar[str] = "note"
    at: float
    subject: str
    text: str


@dataclass(frozen=True)
class RunEnded:
    """The run ends."""

    kind: ClassVar[str] = "run_ended"
    at: float
    exit_status: int
    seconds: float


Fact = (
    RunStarted
    | Accelerator
    | GuestBooted
    | Reservation
    | Prediction
    | StepDone
    | Crash
    | Dump
    | Analysis
    | Finding
    | Verdict
    | Note
    | RunEnded
)

FACTS: Mapping[str, type[Fact]] = {fact.kind: fact for fact in get_args(Fact)}


def as_line(fact: Fact) -> bytes:
    """The fact as its line of ``results.jsonl``, newline included.

    ASCII: what a guest printed may hold lone surrogates, which UTF-8 cannot say and an escape can.
    """
    record = {"kind": fact.kind, **_plain(fact)}
    return json.dumps(record, default=_plain, allow_nan=False).encode("ascii") + b"\n"


def parse_line(line: bytes | str) -> Fact:
    """The fact that a line of ``results.jsonl`` says.

    Raises:
        BadInput: the line is not one that `as_line` writes.
    """
    try:
        record = json.loads(line, parse_constant=_refuse)
        shape = FACTS.get(str(record.pop("kind", ""))) if isinstance(record, dict) else None
        if shape is None:
            raise ValueError("no fact of a known kind")
        fact: Fact = _build(shape, record)
    except ValueError as error:
        raise BadInput("a line of results.jsonl says no fact", because=error, line=repr(line)) from error
    return fact


def read_facts(path: Path) -> tuple[Fact, ...]:
    """The facts of a ``results.jsonl``, also of a run that was killed.

    Raises:
        BadInput: there is no such file, or one of its lines is damaged.
    """
    try:
        # What follows the last newline is nothing, or what a killed run could not finish.
        *lines, _torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    return tuple(parse_line(line) for line in lines)


def _plain(value: object) -> dict[str, Any]:
    """What JSON can't take by itself, as a dict."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is no part of a fact")


def _refuse(constant: str) -> None:
    """NaN and Infinity: Python's json reads them, but no JSON has them and no picture can draw them."""
    raise ValueError(f"{constant} is no number")


def _build(shape: Any, record: dict[str, object]) -> Any:
    hints = {field.name: get_type_hints(shape)[field.name] for field in fields(shape)}
    if strange := record.keys() - hints.keys():
        raise ValueError(f"{shape.__name__} has no {', '.join(sorted(strange))}")
    try:
        return shape(**{name: _read(hints[name], value) for name, value in record.items()})
    except TypeError as error:  # a field is missing
        raise ValueError(error) from error


def _read(hint: Any, value: Any) -> Any:
    """The JSON value as the field's type has it; a value of another type is refused."""
    arms, origin = get_args(hint), get_origin(hint)
    match value:
        case list() if origin is tuple:
            return tuple(_read(arms[0], item) for item in value)
        case dict() if origin is Mapping:
            return {name: _read(arms[1], item) for name, item in value.items()}
        case dict() if is_dataclass(hint):
            return _build(hint, value)
        case None if NoneType in arms:
            return None
        case _ if origin is UnionType:
            return _read(arms[0], value)
        case _ if (origin is Literal and value in arms) or type(value) is hint:
            return value
        case int() if hint is float and not isinstance(value, bool):
            return value
    raise ValueError(f"{value!r} where {hint} belongs")
