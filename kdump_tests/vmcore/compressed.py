"""A dump that was compressed as a whole, as kdump-tools does where KDUMP_COMPRESSION is set.

It cannot be read anywhere but from its start, so it is unpacked into a file that has no name for long.
Source: compress() in kdump-config of kdump-tools 1.8.1; zstd is what people use by hand.
"""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.errors import NoSpace, ToolMissing
from kdump_tests.sizes import MIB
from kdump_tests.vmcore.flaw import Flaw, Torn
from kdump_tests.vmcore.image import CHUNK, PlainFile

_XZ_MEMORY = 96 * MIB  # `xz -9` needs 65 MiB; a header may claim 4 GiB
_LEFT_FREE = 256 * MIB  # of the disk that takes the unpacked dump; others live there too
# What lz4 1.9 and zstd 1.5 say of a stream that ends early; any other failure is damage.
_CUT_SHORT = ("Unfinished stream", "premature end")

Stream = Generator[bytes, None, None]


@dataclass(frozen=True)
class Method:
    """One way to compress a file. ``stream`` reads what the file at a path was before."""

    name: str
    magic: bytes
    stream: Callable[[Path], Stream]


def _by_library(opened: Callable[[Path], io.BufferedIOBase]) -> Callable[[Path], Stream]:
    def stream(path: Path) -> Stream:
        try:
            with opened(path) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except EOFError as error:
            raise Torn("it ends before its compressed stream does") from error
        except (zlib.error, OSError) as error:
            raise Flaw(f"its compressed stream is damaged: {error}") from error

    return stream


def _xz(path: Path) -> Stream:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    with path.open("rb") as file:
        while not unpacker.eof:
            packed = file.read(CHUNK) if unpacker.needs_input else b""
            if unpacker.needs_input and not packed:
                raise Torn("it ends before its compressed stream does")
            try:
                yield unpacker.decompress(packed, CHUNK)
            except lzma.LZMAError as error:
                raise Flaw(f"its compressed stream is damaged: {error}") from error


def _by_program(name: str) -> Callable[[Path], Stream]:
    def stream(path: Path) -> Stream:
        tool = shutil.which(name)
        if tool is None:
            raise ToolMissing(
                f"{path.name} is compressed by {name}, which is not installed",
                path=path,
                way_out=f"install {name}, or unpack the dump and inspect that",
            )
        with (
            path.open("rb") as file,
            tempfile.TemporaryFile() as said,
            subprocess.Popen([tool, "-dc"], stdin=file, stdout=subprocess.PIPE, stderr=said) as process,
        ):
            assert process.stdout is not None
            try:
                while chunk := process.stdout.read(CHUNK):
                    yield chunk
            except BaseException:  # the reader gave up; the program would wait for it for ever
                process.kill()
                raise
            if process.wait():
                said.seek(0)
                words = " ".join(said.read(500).decode(errors="replace").split())
                if any(cut in words for cut in _CUT_SHORT):
                    raise Torn("it ends before its compressed stream does")
                raise Flaw(f"its compressed stream is damaged: {words}")

    return stream


_METHODS = (
    Method("gzip", b"\x1f\x8b\x08", _by_library(gzip.GzipFile)),
    Method("bzip2", b"BZh", _by_library(bz2.BZ2File)),
    Method("xz", b"\xfd7zXZ\0", _xz),
    Method("lz4", b"\x04\x22\x4d\x18", _by_program("lz4")),
    Method("zstd", b"\x28\xb5\x2f\xfd", _by_program("zstd")),
)
_LONGEST_MAGIC = max(len(method.magic) for method in _METHODS)


@dataclass(frozen=True)
class Unpacked:
    """What came out, in a file that leaves with the block. ``flaw`` is why more did not."""

    path: Path
    flaw: Flaw | None


def method_of(file: PlainFile) -> Method | None:
    """How the file was compressed, None if it was not."""
    magic = file.read(0, min(_LONGEST_MAGIC, file.size))
    return next((method for method in _METHODS if magic.startswith(method.magic)), None)


@contextmanager
def unpacked(path: Path, method: Method, is_dump: Callable[[bytes], bool]) -> Iterator[Unpacked]:
    """Unpack the file, if what comes first ``is_dump``.

    Raises:
        Flaw: it holds no dump.
        NoSpace: the disk for temporary files is too small.
        ToolMissing: the program that unpacks it is not there.
    """
    flaw: Flaw | None = None
    with tempfile.NamedTemporaryFile(prefix="kdump-verify-") as copy:
        size = 0
        try:
            with closing(method.stream(path)) as stream:
                for chunk in filter(None, stream):
                    if not size and not is_dump(chunk):
                        raise Flaw(f"it is a {method.name} file of something that starts with {chunk[:8]!r}")
                    write_sparse(copy, size, chunk, path)
                    size += len(chunk)
        except Flaw as found:
            if not size:
                raise
            flaw = found
        if not size:
            raise Flaw(f"it is a {method.name} file of nothing")
        copy.truncate(size)
        copy.flush()
        yield Unpacked(Path(copy.name), flaw)


def write_sparse(
    copy: "tempfile._TemporaryFileWrapper[bytes]", offset: int, chunk: bytes, path: Path
) -> None:
    """Write what comes out of the file under ``path``.

    Raises:
        NoSpace: the disk would be full.
    """
    if chunk.count(0) == len(chunk):
        return  # a hole: what was free memory takes no room
    folder = Path(copy.name).parent
    if shutil.disk_usage(folder).free < _LEFT_FREE + len(chunk):
        raise NoSpace(
            f"{folder} has no room to unpack {path.name}",
            path=path,
            unpacked_so_far=f"{offset >> 20} MiB",
            way_out="TMPDIR=/a/larger/disk kdump-verify inspect …",
        )
    copy.seek(offset)
    copy.write(chunk)
