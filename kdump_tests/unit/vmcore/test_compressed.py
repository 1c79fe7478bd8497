"""A dump that was compressed as a whole is the dump, if its stream is whole."""

import bz2
import gzip
import lzma
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.errors import BadDump, NoSpace, ToolMissing
from kdump_tests.unit.vmcore.crashed_machine import crashed_machine
from kdump_tests.unit.vmcore.dumps import RELEASE, KdumpCompressed, elf_core, flattened
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.vmcore.inspection import inspect

FLAT = flattened(KdumpCompressed().image)


def by_program(name: str) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        if shutil.which(name) is None:
            pytest.skip(f"this host has no {name}")
        return subprocess.run([name, "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    return compress


METHODS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": by_program("lz4"),
    "zstd": by_program("zstd"),
}
any_method = pytest.mark.parametrize(("name", "compress"), METHODS.items(), ids=METHODS)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a dump goes; what is unpacked lies in the folder next to it."""
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    return tmp_path / "dump.lz4"


@any_method
def test_it_is_the_dump_that_was_compressed(
    path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(compress(FLAT))
    dump = inspect(path)
    assert dump.complete
    assert (dump.compressed_by, dump.flattened, dump.compression) == (name, True, ("zlib",))
    assert (dump.path, dump.size, dump.kernel_release) == (path, path.stat().st_size, RELEASE)
    assert dump.proof[0] == f"its {name} stream unpacks to its end"


@any_method
def test_a_stream_cut_short_is_never_complete(
    path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    packed = compress(FLAT)
    path.write_bytes(packed)
    for length in range(len(packed) - 1, len(packed) - 30, -1):
        os.truncate(path, length)
        with pytest.raises(BadDump, match="before its compressed stream does"):
            raise BadDump(inspect(path).incomplete_because)


@any_method
def test_a_damaged_stream_is_never_complete(
    path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    noise = random.Random(1).randbytes(300_000)  # noqa: S311 - so that streams have several blocks
    packed = bytearray(compress(flattened(elf_core(memory=(noise,)), record=65536)))
    packed[len(packed) // 2] ^= 0x55
    path.write_bytes(packed)
    with pytest.raises(BadDump, match="stream is damaged"):
        raise BadDump(inspect(path).incomplete_because)


def test_the_log_is_read_out_of_it(path: Path) -> None:
    ring = SyntheticRing()
    ring.say(b"Kernel panic - not syncing: deep inside")
    path.write_bytes(gzip.compress(flattened(crashed_machine(ring).image)))
    assert inspect(path).panic_message == "deep inside"


def test_nothing_unpacked_is_left(path: Path) -> None:
    path.write_bytes(gzip.compress(FLAT))
    inspect(path)
    assert list((path.parent / "unpacked").iterdir()) == []


@any_method
@pytest.mark.parametrize("content", [b"", b"text", bytes(1 << 24)], ids=["empty", "text", "zeros"])
def test_a_compressed_file_of_something_else_is_no_dump(
    path: Path, name: str, compress: Callable[[bytes], bytes], content: bytes
) -> None:
    path.write_bytes(compress(content))
    with pytest.raises(BadDump, match=f"it is a {name} file of"):
        inspect(path)


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"])
def test_a_magic_alone_is_no_dump(path: Path, magic: bytes) -> None:
    path.write_bytes(magic + b"\xff" * 100)
    with pytest.raises(BadDump, match="compressed stream"):
        inspect(path)


def test_a_disk_too_small_for_it_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(gzip.compress(FLAT))
    monkeypatch.setattr("kdump_tests.vmcore.compressed._LEFT_FREE", 1 << 60)
    with pytest.raises(NoSpace, match="no room to unpack") as caught:
        inspect(path)
    assert "TMPDIR" in caught.value.facts["way out"]


def test_a_program_that_is_missing_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"\x04\x22\x4d\x18" + bytes(20))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing, match="lz4, which is not installed"):
        inspect(path)
