"""The facts of one dump file, each of them looked up inside it: its name proves nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kdump_tests.vmcore import elf, kdump_compressed
from kdump_tests.vmcore.compressed import method_of, unpacked
from kdump_tests.vmcore.firmware_map import memory_that_was
from kdump_tests.vmcore.flattened import SIGNATURE, FlattenedFile
from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import PlainFile, not_a_dump, open_file
from kdump_tests.vmcore.log import read_log, read_log_aside
from kdump_tests.vmcore.memory import Refused, prove_contents
from kdump_tests.vmcore.shape import Format, Memory, Part, Shape
from kdump_tests.vmcore.taint import taints
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_PANIC = "Kernel panic - not syncing: "  # kernel/panic.c, before whatever the caller of panic() says


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
    part: Part | None  # of a split dump; None when it is in one piece
    incomplete_because: str  # one sentence; empty when the dump is complete
    proof: tuple[str, ...]  # what was found to be so, a clause each
    vmcoreinfo: Vmcoreinfo = field(hash=False, repr=False)
    kernel_log: tuple[str, ...] = field(repr=False)
    kernel_log_missing_because: str  # one sentence; empty when the log was read

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
        panics = (line.partition(_PANIC)[2] for line in reversed(self.kernel_log) if _PANIC in line)
        return next(panics, None)

    @property
    def taints(self) -> str | None:
        """See taint.taints()."""
        return taints(self.kernel_log)


class _File(NamedTuple):
    """A file with the dump as makedumpfile wrote it, and how it came to be."""

    path: Path
    file: PlainFile
    compressed_by: str
    flaw: Flaw | None


def inspect(path: Path, *, pages: bool = False) -> Vmcore:
    """Look into the dump under ``path``. Memory stays bounded; time grows with the number of pages saved.

    That every page is there is proven; that it is undamaged only if ``pages`` are read too: 20000 a second.
    A dump that was cut short, or is damaged behind its headers, is a Vmcore that is not complete.

    Raises:
        BadDump: the file is no dump, or its headers are torn or make no sense.
        BadInput: there is no such file, or it may not be read.
        NoSpace, ToolMissing: it is compressed as a whole and cannot be unpacked here.
    """
    with open_file(path) as given:
        try:
            with _unpacked(path, given) as opened:
                return _inspect(path, given.size, opened, pages=pages)
        except Flaw as flaw:
            raise not_a_dump(path, str(flaw)) from flaw


@contextmanager
def _unpacked(path: Path, given: PlainFile) -> Iterator[_File]:
    method = method_of(given)
    if method is None:
        yield _File(path, given, "", None)
        return
    with unpacked(path, method, _is_dump) as copy, open_file(copy.path) as file:
        yield _File(copy.path, file, method.name, copy.flaw)


def _inspect(path: Path, size: int, opened: _File, *, pages: bool) -> Vmcore:
    flattened = FlattenedFile(opened.file) if _magic(opened.file, len(SIGNATURE)) == SIGNATURE else None
    image = flattened or opened.file
    shape = _shape(image)
    flaw = opened.flaw or (flattened and flattened.flaw) or shape.flaw
    log = _kernel_log(opened.path, shape, flaw)
    flaw = flaw or log.flaw or _memory_missing(image, shape, log.lines)
    proof = list(_proof(opened, flattened, shape, log))
    if pages and not flaw:
        try:
            proof += _contents(opened.path, image, shape)
        except Flaw as found:
            flaw = found
    return Vmcore(
        path=path,
        size=size,
        format=shape.format,
        compressed_by=opened.compressed_by,
        flattened=flattened is not None,
        compression=shape.compression,
        dump_level=shape.dump_level,
        memory=shape.memory,
        part=shape.part,
        incomplete_because=str(flaw or ""),
        proof=tuple(proof),
        vmcoreinfo=shape.vmcoreinfo,
        kernel_log=log.lines,
        kernel_log_missing_because=log.missing_because,
    )


def _memory_missing(image: PlainFile | FlattenedFile, shape: Shape, log: tuple[str, ...]) -> Flaw | None:
    """Memory that the machine had by its firmware's word, and the dump knows nothing of."""
    if shape.format is not Format.KDUMP_COMPRESSED or not shape.memory:
        return None
    for start, end in memory_that_was(log):
        frames = range(-(-start // shape.memory.page_size), end // shape.memory.page_size)
        absent = kdump_compressed.first_absent(image, frames)
        if absent is not None:
            return Flaw(
                f"its first bitmap has no page frame {absent}, and the firmware told of memory "
                f"from {start:#x} to {end - 1:#x}"
            )
    return None


def _contents(path: Path, image: PlainFile | FlattenedFile, shape: Shape) -> Iterator[str]:
    """What reading every page proves. Pages of an ELF core are as they were, whatever they are."""
    if shape.format is not Format.KDUMP_COMPRESSED or not shape.memory:
        return
    zeros = shape.memory.zeros if shape.leaves_out_zeros else None
    frames = kdump_compressed.saved_frames(image)
    prove_contents(path, frames, shape.memory.page_size, zeros)
    yield "all its pages unpack"


def _proof(opened: _File, flattened: FlattenedFile | None, shape: Shape, log: "_Log") -> Iterator[str]:
    """From the outermost layer to the innermost."""
    if opened.compressed_by and not opened.flaw:
        yield f"its {opened.compressed_by} stream unpacks to its end"
    if flattened and not flattened.flaw:
        yield f"its {flattened.records} flattened records lead to the end marker"
    yield from shape.proof
    if log.lines:
        yield "the kernel's log lies where its page tables lead"


def _is_dump(start: bytes) -> bool:
    return start.startswith((SIGNATURE, kdump_compressed.SIGNATURE, elf.MAGIC))


def _shape(image: PlainFile | FlattenedFile) -> Shape:
    magic = _magic(image, 8)
    if magic == kdump_compressed.SIGNATURE:
        return kdump_compressed.shape(image)
    if magic[:4] == elf.MAGIC:
        return elf.shape(image)
    if isinstance(image, FlattenedFile) and image.flaw is not None:
        raise image.flaw
    raise Flaw(f"it starts with {magic!r}, which no dump format does")


def _magic(image: PlainFile | FlattenedFile, size: int) -> bytes:
    missing = image.first_missing(0, size)
    return image.read(0, size if missing is None else missing)


class _Log(NamedTuple):
    """The log's lines, or none and the reason, and what that says of the dump."""

    lines: tuple[str, ...] = ()
    missing_because: str = ""
    flaw: Flaw | None = None


def _kernel_log(path: Path, shape: Shape, flaw: Flaw | None) -> _Log:
    if flaw is not None and not isinstance(flaw, Torn):
        return _Log(missing_because=f"no other tool is given a dump that contradicts itself: {flaw}")
    if "SYMBOL(prb)" not in shape.vmcoreinfo:
        release = shape.vmcoreinfo.get("OSRELEASE", "unknown")
        return _Log(
            missing_because=f"kernel {release} does not describe a printk ring; Linux does since 5.10"
        )
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
    # phys_base is x86_64's alone; elsewhere, and where memory is encrypted, it may be the tool's fault.
    plain_x86_64 = "NUMBER(phys_base)" in vmcoreinfo and vmcoreinfo.get("NUMBER(sme_mask)", "0") == "0"
    return (
        Flaw(f"its kernel's log cannot be read where its page tables lead: {missing}")
        if plain_x86_64
        else None
    )
