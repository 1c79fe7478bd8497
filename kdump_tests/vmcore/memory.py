"""A crashed kernel's memory by virtual address, as drgn reads it out of a dump.

No debug information is needed: drgn translates with swapper_pg_dir, phys_base and KERNELOFFSET, which
VMCOREINFO tells.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import drgn

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.printk import Read


def _is_news(record: logging.LogRecord) -> bool:
    # drgn warns of every flattened dump that it may be slow; here that is a fact of the dump, not trouble.
    return "makedumpfile flattened format" not in record.getMessage()


logging.getLogger("drgn").addFilter(_is_news)


@contextmanager
def memory_of(path: Path) -> Iterator[Read]:
    """Reads of the memory saved in the dump under ``path``, until the block ends.

    Raises:
        Flaw: drgn cannot open the dump, or, from a read, the memory is not in it.
    """
    program = drgn.Program()
    with _drgn_errors("drgn cannot open it"):
        program.set_core_dump(path)

    def read(address: int, size: int) -> bytes:
        with _drgn_errors(f"{size} bytes of memory at {address:#x} cannot be read"):
            memory: bytes = program.read(address, size)
            return memory

    yield read


@contextmanager
def _drgn_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (drgn.FaultError, ValueError, OverflowError, LookupError, OSError) as error:
        raise Flaw(f"{what}: {error}") from error
    except Exception as error:
        # libkdumpfile's errors arrive as bare Exception (DRGN_ERROR_OTHER); any other type is a bug.
        if type(error) is not Exception:
            raise
        raise Flaw(f"{what}: {error}") from error
