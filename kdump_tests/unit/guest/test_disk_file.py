"""A disk that somebody brought: what is found in it, and what is refused before any guest."""

import subprocess
from pathlib import Path

import pytest

from kdump_tests.errors import ImageError
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.sizes import MIB


def made(path: Path, *arguments: str) -> Path:
    command = ["qemu-img", "create", "-q", *arguments, str(path), "64M"]
    subprocess.run(command, check=True)
    return path


def bootable(path: Path) -> Path:
    with path.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa")
        file.truncate(64 * MIB)
    return path


@pytest.mark.parametrize("kind", ["qcow2", "vmdk"])
def test_format_is_found_whatever_the_name_says(tmp_path: Path, kind: str) -> None:
    found = DiskFile.examine(made(tmp_path / "disk", "-f", kind))
    assert (found.format, found.size) == (kind, 64 * MIB)


def test_raw_disk_is_one_by_its_boot_signature(tmp_path: Path) -> None:
    assert DiskFile.examine(bootable(tmp_path / "disk.img")).format == "raw"
    assert DiskFile.examine(bootable(tmp_path / "disk.raw")).size == 64 * MIB


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.qcow2", b"<html>404 Not Found</html>" * 100, "is not a qcow2"),
        ("cut.qcow2", b"QFI\xfb\x00\x00\x00\x03", "is no disk that QEMU can read"),
        ("notes.img", b"no boot signature here" * 100, "is no disk that a machine boots from"),
        ("empty.img", b"", "is a disk of 0"),
    ],
)
def test_what_is_no_disk_is_refused_with_its_path(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as refusal:
        DiskFile.examine(path)
    assert str(path) in refusal.value.message


@pytest.mark.parametrize("path", ["nothing.qcow2", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ImageError, match=r"cannot be read|is not a file"):
        DiskFile.examine(tmp_path / path)


def test_disk_that_lies_on_another_file_is_refused(tmp_path: Path) -> None:
    secret = bootable(tmp_path / "secret.raw")
    disk = made(tmp_path / "disk.qcow2", "-f", "qcow2", "-b", str(secret), "-F", "raw")
    with pytest.raises(ImageError, match="leads to other files") as refusal:
        DiskFile.examine(disk)
    assert str(secret) in refusal.value.facts["files"]


def test_disk_whose_data_lies_in_another_file_is_refused(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.qcow2", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}")
    with pytest.raises(ImageError, match="leads to other files"):
        DiskFile.examine(disk)


def test_vmdk_of_several_files_is_refused(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.vmdk", "-f", "vmdk", "-o", "subformat=monolithicFlat")
    with pytest.raises(ImageError, match="leads to other files"):
        DiskFile.examine(disk)


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    disk = DiskFile.examine(bootable(tmp_path / "disk.raw"))
    before = disk.identity
    assert DiskFile.examine(disk.path).identity == before
    with disk.path.open("ab") as file:
        file.write(bytes(512))
    assert disk.identity != before
