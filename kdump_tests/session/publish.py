"""The facts of the rooms as the facts of the report."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kdump_tests.crash.crash import Crash, Dump
from kdump_tests.crash.words import LastWords
from kdump_tests.crashkernel.matrix import boundaries
from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.diagnosis.trouble import Trouble, troubles
from kdump_tests.errors import KdumpVerifyError
from kdump_tests.guest.console import Line
from kdump_tests.guest.crashkernel_parameter import NONE, Choice, CrashkernelParameter
from kdump_tests.guest.facts import KernelFacts, Witnesses
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.report import facts, words
from kdump_tests.stacks.stack import Phase
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.judgement import NEEDS_DEBUG_INFORMATION, Judgement
from kdump_tests.vmcore.text import printable

CRASH_LOG = "crash.log"
"""Where in a guest's folder all lies that crash(8) said."""

_MOST_LINES = 200
_LONGEST_LINE = 300


def guest_booted(
    guest: Guest, kernel: KernelFacts, parameter: CrashkernelParameter, kdump: str, report: Path
) -> facts.GuestBooted:
    """A guest that answers."""
    return facts.GuestBooted(
        guest=guest.name,
        image=guest.image.image.name,
        image_digest=guest.image.digest,
        memory=guest.spec.memory,
        vcpus=guest.spec.vcpus,
        kernel_release=kernel.release,
        command_line=kernel.command_line,
        boot_seconds=round(guest.boot_seconds, 2),
        boot_id=kernel.boot_id,
        folder=str(guest.folder.relative_to(report)),
        crashkernel_requested=parameter.requested,
        crashkernel_passed=parameter.passed or "",
        crashkernel_because=parameter.because,
        origin=guest.origin.value,
        origin_because=guest.origin_because,
        kdump=kdump,
    )


def dump_server_booted(guest: Guest, kernel: KernelFacts, client: Guest, report: Path) -> facts.GuestBooted:
    """A guest that keeps the dumps of another one; it is not crashed, so nothing is kept aside in it."""
    because = f"it keeps the dumps of {client.name}, and is not crashed"
    booted = guest_booted(guest, kernel, CrashkernelParameter(NONE, None, because), "", report)
    return replace(booted, keeps_dumps_of=client.name)


def reservation(
    guest: Guest, kernel: KernelFacts, parameter: CrashkernelParameter, seen: Witnesses
) -> facts.Reservation:
    """What the witnesses in a guest said."""
    return facts.Reservation(
        guest=guest.name,
        memory=guest.spec.memory,
        expected=_expected(parameter.expected, seen.iomem),
        sysfs=seen.sysfs,
        iomem=seen.iomem.total,
        boot_log=seen.boot_log.reservation.total,
        low=seen.iomem.low,
        kernel=kernel.release,
        at_least=parameter.at_least,
        because=parameter.unforeseen,
    )


def probed(
    spec: GuestSpec, image: BuiltImage, parameter: CrashkernelParameter, said: Announcement
) -> facts.Reservation:
    """What the kernel alone said."""
    return facts.Reservation(
        guest=spec.name,
        memory=spec.memory,
        expected=_expected(parameter.probed, said.reservation),
        sysfs=None,
        iomem=None,
        boot_log=None,
        probe=said.reservation.total,
        low=said.reservation.low,
        kernel=image.kernel_release,
        at_least=parameter.at_least,
        because=parameter.unforeseen,
    )


def prediction(chosen: Choice, tiers: Sequence[int]) -> facts.Prediction:
    """What should be kept aside from the smallest tier to the largest, at every edge from both sides."""
    edges = boundaries(chosen.rule.edges if chosen.rule else ())
    smallest, largest = min(tiers), max(tiers)
    sizes = sorted({*tiers, *(size for size in edges if smallest < size < largest)})
    foretold = [(memory, outcomes) for memory in sizes if (outcomes := chosen.on(memory).expected)]
    return facts.Prediction(
        kernel=chosen.kernel_release,
        crashkernel=str(chosen.rule or chosen.requested),
        because=chosen.because,
        points=tuple(facts.PredictedSize(memory, first.total) for memory, (first, *_) in foretold),
    )


def _expected(outcomes: Sequence[Reservation], kept: Reservation) -> int | None:
    """In all: the outcome that came, or else the first one tried."""
    totals = [each.total for each in outcomes]
    return kept.total if kept.total in totals else next(iter(totals), None)


def crash(happened: Crash) -> facts.Crash:
    """The timeline of a crash, and the kernel's last words where they are known."""
    timeline = happened.timeline
    said: LastWords | None = None
    with suppress(KdumpVerifyError):
        said = happened.said
    return facts.Crash(
        guest=happened.guest,
        trigger=str(happened.trigger),
        nonce=happened.nonce,
        boot_id_before=happened.kernel.boot_id,
        boot_id_after=happened.boot_id_after,
        phases=tuple(
            facts.PhaseReached(event.phase.value, round(event.seconds, 2), event.line.text)
            for event in timeline.events
        ),
        ended=timeline.phase.value,
        failure="; ".join(fault.what for fault in timeline.faults),
        foreseen=happened.trigger.value.not_dumped_because,
        last_words=said.panic if said else "",
        read_in="" if said is None else "console" if happened.heard else "dump's kernel log",
        task=str(said.task) if said and said.task else "",
    )


def dump(happened: Crash, report: Path) -> facts.Dump | None:
    """What the crash left, None when there is nothing that can be told."""
    try:
        left = happened.dump
    except KdumpVerifyError:
        return None
    inside = left.vmcore
    copies = {file.name: str(path.relative_to(report)) for file, path in left.copies}
    return facts.Dump(
        guest=happened.guest,
        path=left.directory.path,
        files=tuple(
            facts.Artifact(file.name, file.size, f"{file.mode:04o}", file.owner, copies.get(file.name, ""))
            for file in left.directory.files
        ),
        format=_format(left),
        complete=inside.complete,
        incomplete_because=inside.incomplete_because,
        kernel_release=inside.kernel_release or "",
        build_id=inside.build_id or "",
        crash_time=inside.crash_time,
        panic_message=inside.panic_message or "",
        seconds_to_judge=round(left.seconds_to_judge, 3),
    )


def remarks(happened: Crash) -> tuple[facts.Note, ...]:
    """Captured, but: where the dump is not as its level says, and where its console lost words."""
    try:
        kept = happened.dump.vmcore.kept
    except KdumpVerifyError:
        return ()
    lost = (
        f"its console lost the words that tell of {event.phase.value!r}: {event.line.text}"
        for event in happened.timeline.events
        if event.inferred
    )
    told = (*(kept.remarks if kept else ()), *lost)
    return tuple(facts.Note(time.time(), happened.guest, f"captured, but {remark}") for remark in told)


def captured_but(happened: Crash) -> Iterator[facts.Finding]:
    """What the capture complained of, whether or not it saved the dump: on the console, and in its own log.

    The log has more than a console that is told to be quiet; what both have is told once.
    """

    def saved_before(line: Line) -> bool:
        return happened.timeline.phase_at(line).rank >= Phase.DUMP_SAVED.rank

    told = set()
    for trouble in troubles(happened.capture_log, saved_before):
        told.add(trouble.signature)
        first, *_ = trouble.lines
        when = f"since {happened.timeline.phase_at(first)}; console line {first.number}"
        yield _captured_but(happened, trouble, when)
    for trouble in troubles(_own_log(happened)):
        if trouble.signature not in told:
            yield _captured_but(
                happened, trouble, f"line {trouble.lines[0].number} of the capture's own log"
            )


def _captured_but(happened: Crash, trouble: Trouble, when: str) -> facts.Finding:
    means = trouble.signature.means
    saved = happened.timeline.reached(Phase.DUMP_SAVED)
    return facts.Finding(
        guest=happened.guest,
        what=f"Captured, but: {means[0].lower()}{means[1:]}" if saved else means,
        when=when,
        lines=tuple(line.text for line in trouble.lines),
        count=trouble.count,
    )


def _own_log(happened: Crash) -> Iterator[Line]:
    """Lines of a file that came with the dump: when they were written, only they themselves tell."""
    with suppress(KdumpVerifyError):
        for number, text in enumerate(happened.dump.capture_log.splitlines(), 1):
            yield Line(number, 0.0, printable(text))


def judged(happened: Crash, judgement: Judgement, report: Path) -> Iterator[facts.Analysis | facts.Finding]:
    """What the judges made of the dump, and where they differ."""
    yield _first_judge(happened, judgement)
    if judgement.session:
        log = happened.log_folder / CRASH_LOG
        yield _second_judge(happened, judgement.session, judgement, str(log.relative_to(report)))
    for what in (*judgement.contradictions, *judgement.findings):
        yield facts.Finding(happened.guest, what, "", (), 0)


def not_judged(happened: Crash, way_out: str) -> facts.Analysis:
    """What only debug information tells, of which there is none, and how to get it."""
    return facts.Analysis(
        guest=happened.guest,
        judge="drgn",
        seconds=0.0,
        vmlinux="",
        facts={},
        sections=(),
        log="",
        not_judged=f"{NEEDS_DEBUG_INFORMATION}: no debug information is here. Way out: {way_out}",
    )


def _first_judge(happened: Crash, judgement: Judgement) -> facts.Analysis:
    analysis, vmlinux = judgement.analysis, judgement.search.vmlinux
    told: dict[str, str] = {}
    sections: list[facts.Section] = []
    if analysis:
        told = {
            "crashed": str(analysis.crashed or ""),
            "kernel": analysis.release or "",
            "memory use": ", ".join(f"{use} {words.size(size)}" for use, size in analysis.memory.items()),
        }
        tasks = [f"{task.pid:>7} {task.parent:>7} {task.comm}" for task in analysis.tasks]
        for title, lines in (
            ("backtrace", [f"#{number:<3} {frame}" for number, frame in enumerate(analysis.backtrace)]),
            (f"{len(tasks)} tasks: PID, parent, name", tasks),
            (f"{len(analysis.modules)} modules", analysis.modules),
        ):
            sections.append(facts.Section(title, _shortened(lines)))
    return facts.Analysis(
        guest=happened.guest,
        judge=analysis.reader if analysis else "drgn",
        seconds=round(analysis.seconds, 2) if analysis else 0.0,
        vmlinux=str(vmlinux.path) if vmlinux else "",
        facts=told,
        sections=tuple(sections),
        log="",
        not_judged=judgement.not_judged,
    )


def _second_judge(happened: Crash, session: Session, judgement: Judgement, log: str) -> facts.Analysis:
    vmlinux = judgement.search.vmlinux
    return facts.Analysis(
        guest=happened.guest,
        judge=session.version,
        seconds=round(session.seconds, 2),
        vmlinux=str(vmlinux.path) if vmlinux else "",
        facts={"crashed": str(session.crashed or ""), "kernel": session.release or ""},
        sections=tuple(
            facts.Section(answer.command, _shortened(answer.text.splitlines())) for answer in session.answers
        ),
        log=log,
        not_judged=session.failure,
    )


def _shortened(lines: Sequence[str]) -> str:
    """The end, where it is more than anybody reads on a page."""
    left_out = len(lines) - _MOST_LINES
    shown = [f"… {left_out} lines before these", *lines[left_out:]] if left_out > 0 else lines
    return "\n".join(line[:_LONGEST_LINE] for line in shown)


def _format(left: Dump) -> str:
    return f"{left.vmcore.format}{', flattened' if left.vmcore.flattened else ''}"
