"""A dump file, opened: the image in it, however it is wrapped, and what its headers say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kdump_tests.vmcore import elf, kdump_compressed
from kdump_tests.vmcore.compressed import method_of, unpacked
from kdump_tests.vmcore.flattened import SIGNATURE, FlattenedFile
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.image import PlainFile, not_a_dump, open_file
from kdump_tests.vmcore.shape import Format, FrameSets, Shape


class Opened(NamedTuple):
    """A dump to be read. ``path`` is of the dump as makedumpfile wrote it, ``size`` of the given file."""

    path: Path
    size: int
    compressed_by: str
    unpacking_flaw: Flaw | None
    image: PlainFile | FlattenedFile
    shape: Shape

    @property
    def flattened(self) -> FlattenedFile | None:
        """The image, if it is flattened."""
        return self.image if isinstance(self.image, FlattenedFile) else None

    @property
    def flaw(self) -> Flaw | None:
        """From the outermost layer to the innermost."""
        return self.unpacking_flaw or (self.flattened and self.flattened.flaw) or self.shape.flaw

    @property
    def frame_sets(self) -> FrameSets:
        """Of which frames it is; only where its headers are whole."""
        if self.shape.format is Format.KDUMP_COMPRESSED:
            return kdump_compressed.frame_sets(self.image)
        return elf.frame_sets(self.image, self.shape.vmcoreinfo.page_size)


@contextmanager
def open_dump(path: Path) -> Iterator[Opened]:
    """The dump under ``path``, until the block ends.

    Raises:
        BadDump: the file is no dump, or its headers are torn or make no sense; also a Flaw in the block.
        BadInput: there is no such file, or it may not be read.
        NoSpace, ToolMissing: it is compressed as a whole and cannot be unpacked here.
    """
    with open_file(path) as given:
        try:
            with _unpacked(path, given) as (file, compressed_by, flaw):
                magic = _magic(file, len(SIGNATURE))
                image = FlattenedFile(file) if magic == SIGNATURE else file
                yield Opened(file.path, given.size, compressed_by, flaw, image, _shape(image))
        except Flaw as flaw:
            raise not_a_dump(path, str(flaw)) from flaw


class _File(NamedTuple):
    """A file with the dump as makedumpfile wrote it, and how it came to be."""

    file: PlainFile
    compressed_by: str
    flaw: Flaw | None


@contextmanager
def _unpacked(path: Path, given: PlainFile) -> Iterator[_File]:
    method = method_of(given)
    if method is None:
        yield _File(given, "", None)
        return
    with unpacked(path, method, _is_dump) as copy, open_file(copy.path) as file:
        yield _File(file, method.name, copy.flaw)


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
