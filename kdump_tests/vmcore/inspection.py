"""The facts of one dump file, each of them looked up inside it: its name proves nothing."""

from dataclasses import dataclass, field
from pathlib import Path

from kdump_tests.vmcore import elf, kdump_compressed
from kdump_tests.vmcore.flattened import SIGNATURE, FlattenedFile
from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import PlainFile, not_a_dump, open_file
from kdump_tests.vmcore.memory import memory_of
from kdump_tests.vmcore.printk import kernel_log
from kdump_tests.vmcore.shape import Format, Shape
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_PANIC = "Kernel panic - not syncing: "  # kernel/panic.c, before whatever the caller of panic() says


@dataclass(frozen=True)
class Vmcore:
    """One dump file. What cannot be read is None or empty, and ``complete`` is proven, never presumed.

    ``size`` is in bytes of the file, ``crash_time`` in seconds of Unix time by the crashed kernel's clock,
    ``build_id`` in hex. ``kernel_log`` has the lines as dmesg prints them, times included. Sources:
    VMCOREINFO and, for the log, the crashed kernel's memory.
    """

    path: Path
    size: int
    format: Format
    flattened: bool
    compression: tuple[str, ...]  # of pages, as the header declares it; empty where pages are as they were
    incomplete_because: str  # one sentence; empty when the dump is complete
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


def inspect(path: Path) -> Vmcore:
    """Look into the dump under ``path``. Memory stays bounded; time grows with the pages saved.

    A dump that was cut short, or is damaged behind its headers, is a Vmcore that is not complete.

    Raises:
        BadDump: the file is no dump, or its headers are torn or make no sense.
        BadInput: there is no such file, or it may not be read.
    """
    with open_file(path) as file:
        flattened = FlattenedFile(file) if _magic(file, len(SIGNATURE)) == SIGNATURE else None
        shape = _shape(path, flattened or file)
        flaw = (flattened and flattened.flaw) or shape.flaw
        size = file.size
    log, missing_because = _kernel_log(path, shape, flaw)
    return Vmcore(
        path=path,
        size=size,
        format=shape.format,
        flattened=flattened is not None,
        compression=shape.compression,
        incomplete_because=str(flaw or ""),
        vmcoreinfo=shape.vmcoreinfo,
        kernel_log=log,
        kernel_log_missing_because=missing_because,
    )


def _shape(path: Path, image: PlainFile | FlattenedFile) -> Shape:
    magic = _magic(image, 8)
    try:
        if magic == kdump_compressed.SIGNATURE:
            return kdump_compressed.shape(image)
        if magic[:4] == elf.MAGIC:
            return elf.shape(image)
    except Flaw as flaw:
        raise not_a_dump(path, str(flaw)) from flaw
    if isinstance(image, FlattenedFile) and image.flaw is not None:
        raise not_a_dump(path, str(image.flaw))
    raise not_a_dump(path, f"it starts with {magic!r}, which no dump format does")


def _magic(image: PlainFile | FlattenedFile, size: int) -> bytes:
    try:
        return image.read(0, size)
    except Torn:
        return b""


def _kernel_log(path: Path, shape: Shape, flaw: Flaw | None) -> tuple[tuple[str, ...], str]:
    """The log's lines, or none and the reason."""
    if flaw is not None and not isinstance(flaw, Torn):
        return (), f"no other tool is given a dump that contradicts itself: {flaw}"
    if "SYMBOL(prb)" not in shape.vmcoreinfo:
        release = shape.vmcoreinfo.get("OSRELEASE", "unknown")
        return (), f"kernel {release} does not describe a printk ring; Linux does since 5.10"
    try:
        with memory_of(path) as read:
            return tuple(kernel_log(read, shape.vmcoreinfo)), ""
    except Flaw as missing:
        return (), str(missing)
