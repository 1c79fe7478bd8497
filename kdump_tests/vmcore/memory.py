"""A crashed kernel's memory, as drgn reads it out of a dump.

No debug information is needed: drgn translates virtual addresses with swapper_pg_dir, phys_base and
KERNELOFFSET, which VMCOREINFO tells.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import drgn

from kdump_tests.vmcore.flaw import Flaw


class Refused(Flaw):
    """drgn cannot open the dump, which says as much of drgn as of the dump."""


def _is_news(record: logging.LogRecord) -> bool:
    # drgn warns of every flattened dump that it may be slow; here that is a fact of the dump, not trouble.
    return "makedumpfile flattened format" not in record.getMessage()


logging.getLogger("drgn").addFilter(_is_news)


def prove_contents(path: Path, frames: Iterable[int], page_size: int, zeros: int | None) -> None:
    """Read every page, that is, unpack it.

    zlib sums up what it packed; the other methods have no sum and still do not unpack zeros or what was
    moved. A page stored as it was may be anything but zeros, if ``zeros`` tells how many of those there are.

    Raises:
        Refused: drgn cannot open the dump.
        Flaw: a page cannot be unpacked, or there are more pages of zeros than told.
    """
    memory = Memory(_opened(path))
    found = 0
    for frame in frames:
        found += memory.page(frame, page_size).count(0) == page_size
    if zeros is not None and found != zeros:
        raise Flaw(f"{found} of its pages hold nothing but zeros, and its descriptors tell of {zeros}")


class Memory:
    """What is saved of a crashed kernel's memory."""

    def __init__(self, program: drgn.Program) -> None:
        self._program = program

    def read(self, address: int, size: int) -> bytes:
        """Memory by its virtual address.

        Raises:
            Flaw: it is not in the dump.
        """
        with _drgn_errors(f"{size} bytes of memory at {address:#x} cannot be read"):
            memory: bytes = self._program.read(address, size)
            return memory

    def page(self, frame: int, size: int) -> bytes:
        """A page of ``size`` bytes.

        Raises:
            Flaw: it is not in the dump, or cannot be unpacked.
        """
        with _drgn_errors(f"the page of frame {frame} is damaged"):
            page: bytes = self._program.read(frame * size, size, True)
            return page


@contextmanager
def memory_of(path: Path) -> Iterator[Memory]:
    """The memory saved in the dump under ``path``, until the block ends.

    Raises:
        Refused: drgn cannot open the dump.
    """
    yield Memory(_opened(path))


def _opened(path: Path) -> drgn.Program:
    program = drgn.Program()
    try:
        with _drgn_errors("drgn cannot open it"):
            program.set_core_dump(path)
    except Flaw as flaw:
        raise Refused(str(flaw)) from flaw
    return program


@contextmanager
def _drgn_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (drgn.FaultError, drgn.BadDataError, ValueError, OverflowError, LookupError, OSError) as error:
        raise Flaw(f"{what}: {error}") from error
    except Exception as error:
        # libkdumpfile's errors arrive as bare Exception (DRGN_ERROR_OTHER); any other type is a bug.
        if type(error) is not Exception:
            raise
        raise Flaw(f"{what}: {error}") from error
