"""The bytes of a dump by their offset in the image, wherever in the file they lie."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from kdump_tests.errors import BadDump, BadInput
from kdump_tests.vmcore.flaw import Torn

CHUNK = 1 << 20  # the most that is read at once: memory stays bounded whatever a header claims


class Image(Protocol):
    """What makedumpfile meant to write: offsets are those that a dump's headers speak of."""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes.

        Raises:
            Torn: not all of them are in the file.
        """
        ...

    def first_missing(self, start: int, end: int) -> int | None:
        """The first offset of ``start``..``end`` (end excluded) that is not in the file, None if all are."""
        ...


class PlainFile:
    """A file that is its own image."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path, self.size = path, size
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """See Image."""
        if (missing := self.first_missing(offset, offset + size)) is not None:
            raise Torn(f"it needs {size} bytes at {offset} and ends before {missing + 1}")
        parts = []
        while size > 0:
            try:
                part = os.pread(self._fd, size, offset)
            except OSError as error:
                raise BadInput(f"{self.path} cannot be read: {error.strerror}", offset=offset) from error
            if not part:
                raise Torn(f"it shrank below {offset} bytes while it was read")
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def first_missing(self, start: int, end: int) -> int | None:
        """See Image."""
        return None if end <= self.size else max(start, self.size)


def chunks(image: Image, start: int, size: int, step: int = CHUNK) -> Iterator[bytes]:
    """``size`` bytes from ``start``, at most ``step`` at a time."""
    for offset in range(start, start + size, step):
        yield image.read(offset, min(step, start + size - offset))


@contextmanager
def open_file(path: Path) -> Iterator[PlainFile]:
    """The file under ``path``, if it is a file with something in it.

    Raises:
        BadInput: it is not there or may not be read, so nothing is known of the dump.
        BadDump: it is not a file, or an empty one.
    """
    try:
        # Opening a FIFO waits for its writer, which may never come.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        # makedumpfile creates a vmcore with mode 0600 of root (makedumpfile.c, open_dump_file).
        way_out = "read it as its owner, or as root"
        raise BadInput(f"{path} may not be read by this user", path=path, way_out=way_out) from error
    except OSError as error:
        raise BadInput(f"{path} cannot be opened: {error.strerror}", path=path) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise not_a_dump(path, "it is not a regular file", "name the file that holds the dump")
        if status.st_size == 0:
            raise not_a_dump(
                path, "it is empty", "see the capture kernel's console for why nothing was written"
            )
        yield PlainFile(path, fd, status.st_size)
    finally:
        os.close(fd)


def not_a_dump(
    path: Path, reason: str, way_out: str = "see the capture kernel's console for how the saving ended"
) -> BadDump:
    """The error for a file that is no usable dump, whatever its name."""
    return BadDump(
        f"{path.name or path} is not a usable dump: {reason}", path=path, reason=reason, way_out=way_out
    )
