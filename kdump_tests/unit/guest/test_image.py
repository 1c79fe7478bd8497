"""An image is what its image.toml says, and a wrong one is refused by file, key and reason."""

from pathlib import Path

import pytest

from kdump_tests.errors import BadInput, ImageError
from kdump_tests.guest.image import Image, names
from kdump_tests.unit.guest.described import DESCRIPTION, KERNEL_ALONE, built_image, describe


@pytest.mark.parametrize("name", names())
def test_every_image_of_ours_is_described_well(name: str) -> None:
    image = Image.load(name)
    alone = "-kernel" if image.architecture == "x86_64" else f"-{image.architecture}"
    assert image.name == name
    kinds = {"", "-storage"} if image.stack else {alone}
    if image.boots_by_firmware and image.build:
        kinds = {"-cloud"}
    assert name.removeprefix(image.distribution) in kinds


def test_there_are_images_of_ours() -> None:
    assert {"debian-12", "debian-13", "debian-sid"} <= set(names())


def test_image_is_what_its_description_says(tmp_path: Path) -> None:
    image = Image.load("story", describe(tmp_path))
    assert image.build is not None
    assert (image.name, image.stack, image.build.suite) == ("story", "debian", "bookworm")
    assert image.boot.arguments == ("rw", "console=ttyS0")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('suite = "bookworm"', 'suit = "bookworm"', "build.suit: Extra inputs are not permitted"),
        ('suite = "bookworm"', "", "build.suite: Field required"),
        ('suite = "bookworm"', "suite = 12", "build.suite: Input should be a valid string"),
        ('stack = "debian"', 'stack = "hurd"', "stack: Input should be 'auto', 'debian', 'el' or 'suse'"),
        ('root = "/dev/vda"', "", "image: Value error, a kernel needs a root device"),
        ('stack = "debian"', "", "image: Value error, a disk needs the stack of its kdump"),
        ('disk = "1G"', "", "image: Value error, stack, initrd, root and arguments need a disk"),
        (
            'architecture = "x86_64"',
            'architecture = "vax"',
            "architecture: Input should be 'x86_64', 'arm64'",
        ),
        ('kernel = "vmlinuz"', "", "boot: Value error, initrd, root and arguments need a kernel"),
        ("[build]", "[bild]", "bild: Extra inputs are not permitted"),
    ],
)
def test_wrong_description_is_refused_by_file_key_and_reason(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    folder = describe(tmp_path, DESCRIPTION.replace(right, wrong))
    with pytest.raises(ImageError) as refusal:
        Image.load("story", folder)
    assert str(folder / "story" / "image.toml") in refusal.value.message
    assert words in refusal.value.facts["wrong"]


@pytest.mark.parametrize("size", ["banana", "1.5G", ""])
def test_wrong_size_is_refused_by_file_key_and_reason(tmp_path: Path, size: str) -> None:
    folder = describe(tmp_path, DESCRIPTION.replace('disk = "1G"', f'disk = "{size}"'))
    with pytest.raises(ImageError) as refusal:
        Image.load("story", folder)
    assert str(folder / "story" / "image.toml") in refusal.value.message
    assert f"build.disk: Value error, {size!r} is not a memory size" in refusal.value.facts["wrong"]


@pytest.mark.parametrize("content", [b"description = ", b"description = '\xff'"])
def test_unreadable_description_is_refused_by_file_and_reason(tmp_path: Path, content: bytes) -> None:
    file = describe(tmp_path) / "story" / "image.toml"
    file.write_bytes(content)
    with pytest.raises(ImageError, match="cannot be read") as refusal:
        Image.load("story", tmp_path)
    assert str(file) in refusal.value.message
    assert refusal.value.facts["reason"]


@pytest.mark.parametrize("name", ["banana", "", "..", "recipes"])
def test_image_that_is_not_described_is_refused_with_those_that_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=f"there is no image {name!r}") as refusal:
        Image.load(name, describe(tmp_path))
    assert refusal.value.facts["known"] == "story"


def test_image_without_a_kernel_boots_by_its_own_boot_loader(tmp_path: Path) -> None:
    boot = DESCRIPTION[DESCRIPTION.index("[boot]") : DESCRIPTION.index("[build]")]
    image = Image.load("story", describe(tmp_path, DESCRIPTION.replace(boot, "[boot]\n")))
    assert (image.boot.kernel, image.boot.arguments) == (None, ())


def test_kernel_alone_is_no_image_that_a_guest_boots(tmp_path: Path) -> None:
    image = Image.load("story", describe(tmp_path, KERNEL_ALONE))
    assert image.build is not None
    assert (image.stack, image.build.disk, image.boot.kernel) == (None, None, "vmlinuz")
    with pytest.raises(BadInput, match="story is a kernel of arm64 alone") as refusal:
        image.guest_stack()
    assert "kdump-verify probe --image story" in refusal.value.facts["way out"]


def test_neither_a_disk_nor_a_kernel_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        Image.load("story", describe(tmp_path, KERNEL_ALONE.replace('kernel = "vmlinuz"', "")))
    assert refusal.value.facts["wrong"] == "image: Value error, there is neither a disk nor a kernel"


def test_built_images_parts_lie_in_its_folder() -> None:
    built = built_image()
    assert [str(part) for part in (built.disk, built.kernel, built.initrd)] == [
        "/cache/built/disk.raw",
        "/cache/built/vmlinuz",
        "/cache/built/initrd",
    ]


BROUGHT = """\
description = "A system that somebody has to bring"
distribution = "rocky-9"
stack = "el"
architecture = "x86_64"
download = "https://example.org/"

[boot]
firmware = "uefi"
"""


def test_disk_is_brought_for_a_description(tmp_path: Path) -> None:
    folder = describe(tmp_path, BROUGHT)
    image = Image.load("story=/srv/rocky.qcow2", folder)
    assert (image.name, image.stack, image.brought_disk()) == ("story", "el", Path("/srv/rocky.qcow2"))
    assert image.boots_by_firmware
    with pytest.raises(BadInput, match="story needs a disk to be brought") as refusal:
        Image.load("story", folder).brought_disk()
    assert refusal.value.facts["way out"] == "--image story=PATH"


def test_no_disk_is_brought_for_what_is_built(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="story is built"):
        Image.load("story=/srv/rocky.qcow2", describe(tmp_path))


def test_path_is_a_disk_that_describes_itself() -> None:
    image = Image.load("./Rocky 9.qcow2")
    assert (image.distribution, image.stack, image.brought_disk()) == (
        "Rocky-9", "auto", Path("Rocky 9.qcow2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('download = "https://example.org/"\n', "", "there is neither a build nor a download"),
        ('stack = "el"\n', "", "has a stack, and a kernel of its own"),
        ('firmware = "uefi"', 'firmware = "coreboot"', "boot.firmware: Input should be"),
    ],
)
def test_wrong_description_of_a_disk_that_is_brought_is_refused(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    with pytest.raises(ImageError) as refusal:
        Image.load("story", describe(tmp_path, BROUGHT.replace(right, wrong)))
    assert words in refusal.value.facts["wrong"]
