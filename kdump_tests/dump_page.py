"""What `kdump-verify inspect` tells of a dump: a page for people, an object for programs."""

from collections.abc import Iterator, Sequence

from kdump_tests.errors import KdumpVerifyError
from kdump_tests.report import words
from kdump_tests.vmcore.analysis import Analysis
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.inspection import Vmcore
from kdump_tests.vmcore.judgement import Judgement
from kdump_tests.vmcore.shape import Memory, kinds_left_out
from kdump_tests.vmcore.taint import MEANINGS
from kdump_tests.vmcore.text import printable

LAST_LINES = 20  # of the log: the end of a panic's trace
_MOST_NAMES = 30
_MOST_LINES = 40  # of an answer of crash's; all of it: --json
_KTHREADD = 2  # the parent of all threads of the kernel


def as_page(dump: Vmcore, judgement: Judgement, *, whole_log: bool) -> str:
    """The facts, one a line, then backtrace, log and what crash said. Nothing in it moves a cursor."""
    rows = [*_rows(dump, whole_log=whole_log), *_judged(judgement)]
    lines = [*map(str, (dump.path, *dump.further_parts)), *(f"  {name:<12} {value}" for name, value in rows)]
    if judgement.analysis:
        lines += [f"#{number:<3} {frame}" for number, frame in enumerate(judgement.analysis.backtrace)]
    lines += _log(dump, whole_log=whole_log)
    if judgement.session:
        lines += _said(judgement.session)
    return "\n".join(map(printable, lines))


def as_object(dump: Vmcore, judgement: Judgement, *, whole_log: bool) -> dict[str, object]:
    """For JSON: sizes in bytes unless pages are said, ``crash_time`` in seconds since 1970."""
    memory, part, session = dump.memory, dump.part, judgement.session
    return {
        "path": str(dump.path),
        "further_parts": [str(path) for path in dump.further_parts],
        "size": dump.size,
        "complete": dump.complete,
        "incomplete_because": dump.incomplete_because,
        "proof": dump.proof,
        "format": dump.format,
        "flattened": dump.flattened,
        "compressed_by": dump.compressed_by,
        "page_compression": dump.compression,
        "dump_level": dump.dump_level,
        "kinds_left_out": kinds_left_out(dump.dump_level or 0),
        "split_part": part and {"first_page": part.first, "end_page": part.end},
        "memory": memory
        and {
            "page_size": memory.page_size,
            "pages_covered": memory.covered,
            "pages_stored": memory.stored,
            "pages_of_zeros": memory.zeros,
            "pages_left_out": memory.left_out,
        },
        "pages_by_kind": dump.kept
        and [
            {"kind": pages.kind, "stored": pages.stored, "left_out": pages.left_out}
            for pages in dump.kept.kinds
        ],
        "pages_by_kind_unknown_because": dump.kept_unknown_because,
        "remarks": dump.kept.remarks if dump.kept else (),
        "kernel_release": dump.kernel_release,
        "build_id": dump.build_id,
        "crash_time": dump.crash_time,
        "panic_message": dump.panic_message,
        "taints": dump.taints,
        "vmcoreinfo": dict(dump.vmcoreinfo),
        "kernel_log_lines": len(dump.kernel_log),
        "kernel_log_missing_because": dump.kernel_log_missing_because,
        "kernel_log": _log(dump, whole_log=whole_log),
        "not_judged": judgement.not_judged,
        "analysis": judgement.analysis and judgement.analysis.as_object(),
        "crash": session
        and {
            "version": session.version,
            "failure": session.failure,
            "contradictions": judgement.contradictions,
            "findings": judgement.findings,
            "answers": {answer.command: answer.text.splitlines() for answer in session.answers},
        },
    }


def error_as_page(error: KdumpVerifyError) -> str:
    """Why there is no page of a file."""
    return "\n".join(map(printable, str(error).splitlines()))


def error_as_object(path: object, error: KdumpVerifyError) -> dict[str, object]:
    """The same for JSON."""
    return {"path": str(path), "error": error.message, "facts": dict(error.facts)}


def _log(dump: Vmcore, *, whole_log: bool) -> tuple[str, ...]:
    return dump.kernel_log if whole_log else dump.kernel_log[-LAST_LINES:]


def _rows(dump: Vmcore, *, whole_log: bool) -> Iterator[tuple[str, str]]:
    yield "complete", f"yes: {'; '.join(dump.proof)}" if dump.complete else f"NO: {dump.incomplete_because}"
    yield "format", _format(dump)
    yield "size", words.size(dump.size)
    yield "kernel", dump.kernel_release or "not told"
    yield "build ID", dump.build_id or "not told"
    yield "crash time", "not told" if dump.crash_time is None else words.moment(dump.crash_time)
    yield "panic", dump.panic_message or "no message in the log"
    yield "taints", _taints(dump.taints)
    if dump.memory:
        yield "memory", _pages(dump.memory.covered, dump.memory)
        yield "stored", _stored(dump.memory)
        yield "left out", _left_out(dump.memory, dump.dump_level)
    yield "kinds", _kinds(dump)
    for remark in dump.kept.remarks if dump.kept else ():
        yield "remark", remark
    yield "VMCOREINFO", words.count(len(dump.vmcoreinfo), "line")
    yield "kernel log", _about_log(dump, whole_log=whole_log)


def _judged(judgement: Judgement) -> Iterator[tuple[str, str]]:
    if judgement.search.vmlinux:
        yield "vmlinux", str(judgement.search.vmlinux.path)
    if judgement.analysis:
        yield from _analysed(judgement.analysis)
    if judgement.not_judged:
        yield "not judged", judgement.not_judged
    if not judgement.search.vmlinux:
        way_out = "--vmlinux PATH; for a guest's dump: kdump-verify image debuginfo NAME"
        yield "way out", f"{way_out}; looked at {', '.join(judgement.search.looked_at)}"
    for contradiction in judgement.contradictions:
        yield "DISAGREE", contradiction
    for finding in judgement.findings:
        yield "finding", finding
    if judgement.session and judgement.session.answers and not judgement.contradictions:
        yield "agreed", f"{judgement.session.version} names the same kernel and the same crashed task"
    if judgement.no_second:
        yield "no crash(8)", judgement.no_second


def _analysed(analysis: Analysis) -> Iterator[tuple[str, str]]:
    if analysis.crashed:
        yield "crashed", str(analysis.crashed)
    own = [task for task in analysis.tasks if _KTHREADD not in (task.pid, task.parent)]
    told = _some([f"{task.comm} ({task.pid})" for task in own])
    yield "tasks", f"{len(analysis.tasks)}, of them {len(own)} not the kernel's own: {told}"
    yield "modules", f"{len(analysis.modules)}: {_some(analysis.modules)}"
    yield "memory use", ", ".join(f"{use} {words.size(used)}" for use, used in analysis.memory.items())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")


def _said(session: Session) -> Iterator[str]:
    """What crash said; its log is the one that stands there already."""
    for answer in session.answers:
        lines = answer.text.splitlines()
        if answer.command != "log":
            yield f"crash> {answer.command}"
            yield from lines[:_MOST_LINES]
            if len(lines) > _MOST_LINES:
                yield f"… {len(lines) - _MOST_LINES} lines more (--json has them)"


def _format(dump: Vmcore) -> str:
    told = [str(dump.format)]
    if dump.compression:
        told.append(f"pages compressed by {', '.join(dump.compression)}")
    if dump.part:
        told.append("one part of a split dump")
    if dump.flattened:
        told.append("flattened")
    if dump.compressed_by:
        told.append(f"all of it compressed by {dump.compressed_by}")
    return ", ".join(told)


def _pages(number: int, memory: Memory) -> str:
    return f"{words.count(number, 'page')}, {words.size(number * memory.page_size)}"


def _stored(memory: Memory) -> str:
    zeros = f"; and {words.count(memory.zeros, 'page')} of zeros" if memory.zeros else ""
    return _pages(memory.stored, memory) + zeros


def _left_out(memory: Memory, dump_level: int | None) -> str:
    told = _pages(memory.left_out, memory)
    if dump_level is None:
        return told
    kinds = ", ".join(kinds_left_out(dump_level)) or "nothing"
    return f"{told}; dump level {dump_level} leaves out {kinds}"


def _kinds(dump: Vmcore) -> str:
    if not dump.kept:
        return f"not judged: {dump.kept_unknown_because}"
    return "; ".join(
        f"{pages.kind}: {pages.stored} stored, {pages.left_out} left out"
        for pages in dump.kept.kinds
        if pages.stored or pages.left_out
    )


def _taints(letters: str | None) -> str:
    if letters is None:
        return "no trace in the log tells"
    return ", ".join(f"{letter} ({MEANINGS.get(letter, 'unknown')})" for letter in letters) or "none"


def _about_log(dump: Vmcore, *, whole_log: bool) -> str:
    if not dump.kernel_log:
        return f"not read: {dump.kernel_log_missing_because}" if dump.kernel_log_missing_because else "empty"
    if whole_log or len(dump.kernel_log) <= LAST_LINES:
        return words.count(len(dump.kernel_log), "line")
    return f"{words.count(len(dump.kernel_log), 'line')}, the last {LAST_LINES} (all of them: --dmesg)"
