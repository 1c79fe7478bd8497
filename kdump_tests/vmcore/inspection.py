"""The facts of one dump file, each of them looked up inside it: its name proves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kdump_tests.vmcore import kdump_compressed
from kdump_tests.vmcore.firmware_map import memory_that_was
from kdump_tests.vmcore.flaw import Flaw, Torn, Unknown
from kdump_tests.vmcore.kept_pages import KeptPages, MapOfPages, judge
from kdump_tests.vmcore.log import read_log, read_log_aside
from kdump_tests.vmcore.memory import Refused, memory_of, prove_contents
from kdump_tests.vmcore.opened import Opened, open_dump
from kdump_tests.vmcore.printk_log import describes_log
from kdump_tests.vmcore.shape import Format, Memory, Part, Shape
from kdump_tests.vmcore.taint import taints
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

PANIC = "Kernel panic - not syncing: "  # kernel/panic.c, before whatever the caller of panic() says
# Of memory whose map is read by default: 4 GiB, in less than a second.
_FRAMES_BY_THE_WAY = 1 << 20


@dataclass(frozen=True)
class Vmcore:
    """One dump file. What cannot be read is None or empty, and ``complete`` is proven, never presumed.

    ``compressed_by`` names what compressed the file as a whole. ``size`` is in bytes of the file,
    ``crash_time`` in seconds of Unix time by the crashed kernel's clock,
    ``build_id`` in hex. ``kernel_log`` has the lines as dmesg prints them, times included. Sources:
    VMCOREINFO and, for the log, the crashed kernel's memory.
    """

    path: Path
    size: int
    format: Format
    compressed_by: str
    flattened: bool
    compression: tuple[str, ...]  # of pages, as the header declares it; empty where pages are as they were
    dump_level: int | None  # of makedumpfile; None where the format does not tell it
    memory: Memory | None
    kept: KeptPages | None  # None when the memory map was not read
    kept_unknown_because: str  # one clause; empty when it was
    part: Part | None  # of a split dump; None when it is in one piece
    incomplete_because: str  # one sentence; empty when the dump is complete
    proof: tuple[str, ...]  # what was found to be so, a clause each
    vmcoreinfo: Vmcoreinfo = field(hash=False, repr=False)
    kernel_log: tuple[str, ...] = field(repr=False)
    kernel_log_missing_because: str  # one sentence; empty when the log was read
    further_parts: tuple[Path, ...] = ()  # of a split dump that was judged as a whole

    @property
    def complete(self) -> bool:
        """Whether every byte that the headers promise was found where they promise it."""
        return not self.incomplete_because

    @property
    def kernel_release(self) -> str | None:
        """What ``uname -r`` said."""
        return self.vmcoreinfo.get("OSRELEASE")

    @property
    def build_id(self) -> str | None:
        """The GNU build ID of vmlinux; kernels before 5.9 do not tell it."""
        return self.vmcoreinfo.get("BUILD-ID")

    @property
    def crash_time(self) -> int | None:
        """When the kernel panicked; None in a dump that a hypervisor took of a living one."""
        text = self.vmcoreinfo.get("CRASHTIME", "")
        return int(text) if text.isdecimal() and len(text) < 20 else None

    @property
    def panic_message(self) -> str | None:
        """What the last panic in the log was about; None after an oops that went to kdump directly."""
        panics = (line.partition(PANIC)[2] for line in reversed(self.kernel_log) if PANIC in line)
        return next(panics, None)

    @property
    def taints(self) -> str | None:
        """See taint.taints()."""
        return taints(self.kernel_log)


def inspect(path: Path, *, pages: bool = False) -> Vmcore:
    """Look into the dump under ``path``. Memory stays bounded; time grows with the number of pages saved.

    That every page is there is proven, by the kernel's own memory map too where that is of at most 4 GiB or
    ``pages`` are asked for; that pages are undamaged only in that case: 20000 a second.
    A dump that was cut short, or is damaged behind its headers, is a Vmcore that is not complete.

    Raises:
        BadDump: the file is no dump, or its headers are torn or make no sense.
        BadInput: there is no such file, or it may not be read.
        NoSpace, ToolMissing: it is compressed as a whole and cannot be unpacked here.
    """
    with open_dump(path) as opened:
        return _inspect(path, opened, pages=pages)


def _inspect(path: Path, opened: Opened, *, pages: bool) -> Vmcore:
    shape, flaw = opened.shape, opened.flaw
    log = _kernel_log(opened.path, shape, flaw)
    flaw = flaw or log.flaw or _memory_missing(opened, log.lines)
    kept = _kept(opened, flaw, at_any_cost=pages)
    flaw = flaw or kept.flaw
    proof = list(_proof(opened, log, kept))
    if pages and not flaw:
        try:
            proof += _contents(opened)
        except Flaw as found:
            flaw = found
    return Vmcore(
        path=path,
        size=opened.size,
        format=shape.format,
        compressed_by=opened.compressed_by,
        flattened=opened.flattened is not None,
        compression=shape.compression,
        dump_level=shape.dump_level,
        memory=shape.memory,
        kept=kept.pages,
        kept_unknown_because=kept.unknown_because,
        part=shape.part,
        incomplete_because=str(flaw or ""),
        proof=tuple(proof),
        vmcoreinfo=shape.vmcoreinfo,
        kernel_log=log.lines,
        kernel_log_missing_because=log.missing_because,
    )


def _memory_missing(opened: Opened, log: tuple[str, ...]) -> Flaw | None:
    """Memory that the machine had by its firmware's word, and the dump knows nothing of."""
    memory = opened.shape.memory
    if opened.shape.format is not Format.KDUMP_COMPRESSED or not memory:
        return None
    for start, end in memory_that_was(log):
        frames = range(-(-start // memory.page_size), end // memory.page_size)
        absent = kdump_compressed.first_absent(opened.image, frames)
        if absent is not None:
            return Flaw(
                f"its first bitmap has no page frame {absent}, and the firmware told of memory "
                f"from {start:#x} to {end - 1:#x}"
            )
    return None


def _contents(opened: Opened) -> Iterator[str]:
    """What reading every page proves. Pages of an ELF core are as they were, whatever they are."""
    shape = opened.shape
    if shape.format is not Format.KDUMP_COMPRESSED or not shape.memory:
        return
    zeros = shape.memory.zeros if shape.leaves_out_zeros else None
    frames = kdump_compressed.saved_frames(opened.image)
    prove_contents(opened.path, frames, shape.memory.page_size, zeros)
    yield "all its pages unpack"


def _proof(opened: Opened, log: "_Log", kept: "_Kept") -> Iterator[str]:
    """From the outermost layer to the innermost."""
    if opened.compressed_by and not opened.unpacking_flaw:
        yield f"its {opened.compressed_by} stream unpacks to its end"
    if opened.flattened and not opened.flattened.flaw:
        yield f"its {opened.flattened.records} flattened records lead to the end marker"
    yield from opened.shape.proof
    if log.lines:
        yield "the kernel's log lies where its page tables lead"
    if kept.pages and opened.shape.dump_level is not None:
        but = f" but for {kept.pages.lost} pages" if kept.pages.lost else ""
        yield f"all is stored that dump level {opened.shape.dump_level} keeps{but}, by its memory map"


class _Log(NamedTuple):
    """The log's lines, or none and the reason, and what that says of the dump."""

    lines: tuple[str, ...] = ()
    missing_because: str = ""
    flaw: Flaw | None = None


def _kernel_log(path: Path, shape: Shape, flaw: Flaw | None) -> _Log:
    if flaw is not None and not isinstance(flaw, Torn):
        return _Log(missing_because=f"no other tool is given a dump that contradicts itself: {flaw}")
    if "SYMBOL(prb)" not in shape.vmcoreinfo and not describes_log(shape.vmcoreinfo):
        release = shape.vmcoreinfo.get("OSRELEASE", "unknown")
        return _Log(missing_because=f"kernel {release} does not describe its log; Linux does since 3.5")
    try:
        return _Log((read_log_aside if flaw else read_log)(path, shape.vmcoreinfo))
    except Refused as refusal:
        return _Log(missing_because=str(refusal))
    except Flaw as missing:
        return _Log(missing_because=str(missing), flaw=_misplaced(shape.vmcoreinfo, missing))


def _misplaced(vmcoreinfo: Vmcoreinfo, missing: Flaw) -> Flaw | None:
    """What a log says that is not where the kernel's page tables lead: its memory is not in its place.

    Two blocks of a bitmap that were swapped leave every page in the file, under another's address.
    """
    if not vmcoreinfo.is_plain_x86_64:
        return None
    return Flaw(f"its kernel's log cannot be read where its page tables lead: {missing}")


class _Kept(NamedTuple):
    """What became of each kind of page, or why that is not known, and what it says of the dump."""

    pages: KeptPages | None = None
    unknown_because: str = ""
    flaw: Flaw | None = None


def _kept(opened: Opened, flaw: Flaw | None, *, at_any_cost: bool) -> _Kept:
    if flaw is not None:
        return _Kept(unknown_because="the dump is not whole")
    try:
        map_of_pages = MapOfPages.of(opened.shape.vmcoreinfo, opened.frame_sets)
    except Unknown as unknown:
        return _Kept(unknown_because=str(unknown))
    if map_of_pages.frames > _FRAMES_BY_THE_WAY and not at_any_cost:
        return _Kept(unknown_because=f"{map_of_pages.frames} page frames take their time: --pages")
    try:
        with memory_of(opened.path) as memory:
            return _Kept(judge(map_of_pages, memory.read, opened.shape.dump_level))
    except Refused as refusal:
        return _Kept(unknown_because=str(refusal))
    except Flaw as found:
        return _Kept(unknown_because=str(found), flaw=found)
