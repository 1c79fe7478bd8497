"""A kernel of the user's: what is taken of what was given, and what is refused."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.stacks import another_kernel
from kdump_tests.stacks.another_kernel import KernelFiles

RELEASE = "6.99.0-mine"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """As much of a bzImage as says its release (Documentation/arch/x86/boot.rst)."""
    header = bytearray(4096)
    header[0x202:0x206] = b"HdrS"
    header[0x20E:0x210] = (0x600 - 0x200).to_bytes(2, "little")
    version = f"{RELEASE} (me@here) #1".encode()
    header[0x600 : 0x600 + len(version)] = version
    path = tmp_path / "bzImage"
    path.write_bytes(header)
    return path


def folder(root: Path, above: str = "lib", release: str = RELEASE) -> Path:
    """What modules_install leaves, with the links to where it was built."""
    modules = root / above / "modules" / release
    (modules / "kernel").mkdir(parents=True)
    (modules / "kernel" / "virtio_blk.ko").write_bytes(b"module")
    (modules / "build").symlink_to("/root/linux")
    return root


def deb(root: Path) -> Path:
    tree = folder(root / "tree", "usr/lib")
    (tree / "DEBIAN").mkdir()
    control = (
        f"Package: linux-image-{RELEASE}\nVersion: 1\nArchitecture: amd64\nMaintainer: me\nDescription: it\n"
    )
    (tree / "DEBIAN" / "control").write_text(control)
    subprocess.run(
        ["dpkg-deb", "--build", "-Zgzip", tree, root / "kernel.deb"], check=True, capture_output=True
    )
    return root / "kernel.deb"


@pytest.mark.parametrize("given", [folder, lambda root: folder(root, "usr/lib"), deb])
def test_modules_are_found_in_what_was_given(
    tmp_path: Path, kernel: Path, given: Callable[[Path], Path]
) -> None:
    files = KernelFiles(kernel, None, given(tmp_path / "given"))
    with another_kernel._archive(files, tmp_path) as path, tarfile.open(path) as archive:
        found = {member.name: (member.uid, member.isreg()) for member in archive}
    assert found[f"boot/vmlinuz-{RELEASE}"] == (0, True)
    assert found[f"usr/lib/modules/{RELEASE}/kernel/virtio_blk.ko"] == (0, True)
    assert not any(name.endswith("/build") for name in found)


def test_initrd_goes_along(tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"initrd")
    files = KernelFiles(kernel, tmp_path / "initrd", folder(tmp_path / "given"))
    with another_kernel._archive(files, tmp_path) as path, tarfile.open(path) as archive:
        assert f"boot/initrd.img-{RELEASE}" in archive.getnames()


@pytest.mark.parametrize(
    "place",
    [
        f"given/boot/config-{RELEASE}",
        f"given/lib/modules/{RELEASE}/config",
        f"given/lib/modules/{RELEASE}/build/.config",
        f"linux/arch/x86/boot/config-{RELEASE}",
        "linux/.config",
    ],
)
def test_configuration_goes_along_from_where_a_build_or_a_package_has_it(
    tmp_path: Path, kernel: Path, place: str
) -> None:
    built = tmp_path / "linux/arch/x86/boot/bzImage"
    built.parent.mkdir(parents=True)
    kernel.rename(built)
    modules = tmp_path / "given/lib/modules" / RELEASE
    modules.mkdir(parents=True)
    config = tmp_path / place
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("CONFIG_RD_ZSTD=y\n")
    with (
        another_kernel._archive(KernelFiles(built, None, tmp_path / "given"), tmp_path) as path,
        tarfile.open(path) as archive,
    ):
        packed = archive.extractfile(f"boot/config-{RELEASE}")
        assert packed
        assert packed.read() == b"CONFIG_RD_ZSTD=y\n"


def test_modules_of_another_kernel_are_refused(tmp_path: Path, kernel: Path) -> None:
    files = KernelFiles(kernel, None, folder(tmp_path / "given", release="6.98.0-mine"))
    with (
        pytest.raises(BadInput, match=f"has no modules of {RELEASE}"),
        another_kernel._archive(files, tmp_path),
    ):
        pass


def test_what_is_no_kernel_or_not_there_is_refused(tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "text").write_text("no kernel")
    with pytest.raises(BadInput, match="is no kernel"):
        KernelFiles(tmp_path / "text", None, tmp_path).check()
    with pytest.raises(BadInput, match="cannot be read"):
        KernelFiles(tmp_path / "nothing", None, tmp_path).check()
    with pytest.raises(BadInput, match=r"--initrd .* is not there"):
        KernelFiles(kernel, tmp_path / "nothing", tmp_path).check()
    with pytest.raises(BadInput, match=r"is no folder, no .deb and no .rpm"):
        another_kernel._unpacked(kernel, tmp_path / "given")


def test_another_file_is_another_kernel(tmp_path: Path, kernel: Path) -> None:
    files = KernelFiles(kernel, None, folder(tmp_path / "given"))
    before = files.digest
    assert files.digest == before
    kernel.write_bytes(kernel.read_bytes() + b"more")
    assert files.digest != before
