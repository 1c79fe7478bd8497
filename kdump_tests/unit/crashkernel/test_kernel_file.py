"""A kernel is known by its header, and what cannot be asked is refused with the reason."""

import contextlib
import gzip
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdump_tests.crashkernel.kernel_file import KernelFile, loadable, read_kernel_file
from kdump_tests.errors import BadInput
from kdump_tests.unit.crashkernel.kernels import (
    BZIMAGE,
    IMAGE,
    PVH_NOTE,
    S390X,
    VMLINUX_PPC64LE,
    VMLINUX_X86_64,
    elf,
    note,
    zboot,
)

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000)


def read(folder: Path, content: bytes) -> KernelFile:
    path = folder / "vmlinuz"
    path.write_bytes(content)
    return read_kernel_file(path)


@pytest.mark.parametrize(
    ("content", "architecture"),
    [
        (BZIMAGE, "x86_64"),
        (VMLINUX_X86_64, "x86_64"),
        (IMAGE, "arm64"),
        (gzip.compress(IMAGE), "arm64"),
        (VMLINUX_PPC64LE, "ppc64le"),
    ],
)
def test_kernel_that_qemu_loads_as_it_is_is_known(tmp_path: Path, content: bytes, architecture: str) -> None:
    kernel = read(tmp_path, content)
    assert kernel == KernelFile(tmp_path / "vmlinuz", architecture)
    with loadable(kernel) as (path, descriptors):
        assert (path, descriptors) == (str(tmp_path / "vmlinuz"), ())


def test_payload_of_a_zboot_kernel_is_what_qemu_loads(tmp_path: Path) -> None:
    packed = gzip.compress(IMAGE)
    kernel = read(tmp_path, zboot(packed) + b"signature")
    assert kernel == KernelFile(tmp_path / "vmlinuz", "arm64", (128, len(packed)))
    with loadable(kernel) as (path, descriptors):
        assert Path(path).read_bytes() == packed
        assert len(descriptors) == 1
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("content", "message", "way_out"),
    [
        (b"", "is not a kernel of any form that is known", ""),
        (b"MZ", "is not a kernel of any form that is known", ""),
        (JPEG, "is not a kernel of any form that is known", ""),
        (b"\x7fELF" + bytes(5000), "is not a kernel of any form that is known", ""),
        (elf("<", 40), "is not a kernel of any form that is known", ""),
        (elf("<", 62), "it has no PVH note", "the vmlinuz beside it"),
        (elf("<", 62, note(b"Xen\0", 17, bytes(8))), "it has no PVH note", "the vmlinuz beside it"),
        (VMLINUX_X86_64[:-20], "it has no PVH note", "the vmlinuz beside it"),
        (elf("<", 183), "is a kernel that cannot be asked", "the vmlinuz or Image beside it"),
        (elf(">", 21), "is a kernel that cannot be asked", ""),
        (elf(">", 22), "is a kernel that cannot be asked", ""),
        (S390X, "is a kernel that cannot be asked", ""),
        (gzip.compress(JPEG), "is not a kernel of any form that is known", ""),
        (gzip.compress(BZIMAGE), "is packed with gzip", "unpack it: zcat"),
        (b"\x1f\x8b\x08" + b"\xff" * 100, "cannot be unpacked", ""),
        (zboot(b"", b"zstd22"), "cannot be unpacked here", "an Image, or a kernel packed with gzip"),
        (zboot(b"")[:24], "cannot be unpacked here", "an Image, or a kernel packed with gzip"),
        (zboot(gzip.compress(IMAGE), size=5000), "is cut off", ""),
        (zboot(b"\0" * 100), "cannot be unpacked", ""),
        (zboot(gzip.compress(JPEG)), "is not a kernel of any form that is known", ""),
    ],
)
def test_file_that_cannot_be_asked_is_refused(
    tmp_path: Path, content: bytes, message: str, way_out: str
) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, content)
    assert refused.value.message.startswith(str(tmp_path / "vmlinuz"))
    assert message in refused.value.message
    assert refused.value.facts.get("way out", "") == way_out


def test_s390x_kernel_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, S390X)
    assert refused.value.facts["form"] == "s390x vmlinuz"
    assert "CONFIG_CRASH_DUMP" in refused.value.facts["reason"]


@pytest.mark.parametrize("name", [".", "absent", "fifo"])
def test_kernel_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadInput, match="no such file"):
        read_kernel_file(tmp_path / name)


def test_kernel_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vmlinuz").write_bytes(BZIMAGE)

    # root may read everything, so the refusal is played.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInput, match="cannot be read: Permission denied"):
        read_kernel_file(tmp_path / "vmlinuz")


@pytest.mark.parametrize("table", [1 << 20, (1 << 64) - 1])
def test_segments_beyond_the_file_have_no_notes(tmp_path: Path, table: int) -> None:
    torn = bytearray(VMLINUX_X86_64)
    struct.pack_into("<QxxxxxxxxxxxxxxHH", torn, 32, table, 56, 65535)
    with pytest.raises(BadInput, match="no PVH note"):
        read(tmp_path, bytes(torn))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [b"", b"\x1f\x8b\x08", b"MZ\0\0zimg", zboot(b""), VMLINUX_X86_64[:64], elf("<", 62, PVH_NOTE)]
    ),
    st.integers(0, 200),
    st.binary(max_size=200),
)
def test_garbage_raises_nothing_but_bad_input(tmp_path: Path, start: bytes, kept: int, rest: bytes) -> None:
    with contextlib.suppress(BadInput):
        read(tmp_path, start[:kept] + rest)
