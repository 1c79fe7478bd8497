"""An image is built once per recipe, whole, whoever asks and whoever is killed."""

import os
import struct
import subprocess
from pathlib import Path

import filelock
import pytest

from kdump_tests.errors import BadInput, ImageError, NoSpace
from kdump_tests.guest import build
from kdump_tests.guest.cache import abandoned
from kdump_tests.guest.reaper import reap
from kdump_tests.unit.guest.described import DESCRIPTION, KERNEL_ALONE, RECIPE, describe, store
from kdump_tests.unit.guest.others import await_end_of, await_file, endless, python, said

BUILDER = """
import sys
from pathlib import Path
from kdump_tests.guest.build import ImageStore
cache, descriptions = map(Path, sys.argv[1:])
print(ImageStore(cache, descriptions).get("story").folder, flush=True)
"""
KERNEL_RECIPE = """\
#!/bin/sh
set -eu
echo "Linux version 6.1.0-56-arm64 ($1 $2 $4)" > "$3/vmlinuz"
echo "linux-image-arm64 6.1" > "$3/packages"
"""
COUNTED = RECIPE + 'echo built >> "$(dirname "$0")/../../count"\n'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="images are built as root")


@pytest.fixture
def confined() -> None:
    new = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(new, capture_output=True, check=False).returncode != 0:
        pytest.skip("this host forbids namespaces: a killed build's children live on")


@as_root
def test_image_is_built_once_and_found_again(tmp_path: Path) -> None:
    images = store(tmp_path, COUNTED)
    first, second = images.get("story"), images.get("story")
    assert first == second
    assert (tmp_path / "images" / "count").read_text() == "built\n"


@as_root
def test_built_image_is_found_while_another_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = store(tmp_path)
    built = images.get("story")
    monkeypatch.setattr(build, "_BUILD_SECONDS", 0.1)
    with filelock.FileLock(images.cache / "locks" / "image story.lock"):
        assert images.get("story") == built


@as_root
def test_recipe_is_called_with_what_the_description_says(tmp_path: Path) -> None:
    built = store(tmp_path).get("story")
    assert built.disk.read_text() == "bookworm 1G kdump-tools\n"


@as_root
def test_recipe_of_a_kernel_alone_is_told_that_there_is_no_disk(tmp_path: Path) -> None:
    images = store(tmp_path, KERNEL_RECIPE)
    describe(tmp_path / "images", KERNEL_ALONE, KERNEL_RECIPE)
    built = images.get("story")
    assert built.kernel
    assert (
        built.kernel.read_bytes()
        == b"Linux version 6.1.0-56-arm64 (bookworm none linux-image-arm64:arm64)\n"
    )
    assert (built.kernel_release, built.initrd, built.crashkernel) == ("6.1.0-56-arm64", None, None)


@as_root
def test_what_a_build_recorded_is_read_back(tmp_path: Path) -> None:
    built = store(tmp_path).get("story")
    assert built.crashkernel == "384M-:128M"
    assert built.packages == (("kdump-tools", "1.8.1"), ("linux-image", "6.1"))
    assert built.folder.name == built.digest


@as_root
@pytest.mark.parametrize(
    ("description", "recipe"),
    [
        (DESCRIPTION, RECIPE + "# changed\n"),
        (DESCRIPTION.replace("bookworm", "trixie"), RECIPE),
        (DESCRIPTION.replace('"kdump-tools"', '"kdump-tools", "crash"'), RECIPE),
    ],
)
def test_changed_recipe_is_built_again(tmp_path: Path, description: str, recipe: str) -> None:
    images = store(tmp_path)
    before = images.get("story")
    describe(tmp_path / "images", description, recipe)
    assert images.get("story").folder != before.folder
    assert len(images.builds("story")) == 2


@as_root
def test_file_added_to_the_recipe_is_a_change(tmp_path: Path) -> None:
    images = store(tmp_path)
    before = images.get("story")
    (tmp_path / "images" / "recipes" / "instant" / "motd").write_text("hello")
    assert images.get("story").folder != before.folder


@as_root
def test_words_about_the_image_are_no_change(tmp_path: Path) -> None:
    images = store(tmp_path)
    before = images.get("story")
    describe(tmp_path / "images", DESCRIPTION.replace("in no time", "at once"))
    assert images.get("story").folder == before.folder


@as_root
def test_failed_build_is_told_with_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    images = store(tmp_path, RECIPE + "echo the mirror is down >&2; exit 7\n")
    with pytest.raises(ImageError, match="image story could not be built") as failure:
        images.get("story")
    assert failure.value.facts["reason"].endswith("failed with status 7")
    assert failure.value.facts["said"] == "the mirror is down"
    assert Path(failure.value.facts["log"]).read_text() == "the mirror is down\n"
    assert images.builds("story") == ()
    assert abandoned(images.cache) == ()


@as_root
def test_build_after_a_failed_one_succeeds(tmp_path: Path) -> None:
    images = store(tmp_path, "#!/bin/sh\nexit 1\n")
    with pytest.raises(ImageError):
        images.get("story")
    describe(tmp_path / "images")
    assert images.get("story").disk.exists()


@as_root
@pytest.mark.parametrize("part", ["disk.raw", "vmlinuz", "initrd", "packages"])
def test_build_that_leaves_a_part_out_is_none(tmp_path: Path, part: str) -> None:
    images = store(tmp_path, f'{RECIPE}rm "$3/{part}"\n')
    with pytest.raises(ImageError, match=f"left no {part}"):
        images.get("story")
    assert images.builds("story") == ()


@as_root
def test_distribution_without_a_default_sets_none(tmp_path: Path) -> None:
    assert store(tmp_path, RECIPE + 'rm "$3/crashkernel"\n').get("story").crashkernel is None


@as_root
def test_build_that_fills_the_disk_is_told_as_such_with_its_log(tmp_path: Path) -> None:
    images = store(tmp_path, "#!/bin/sh\ncp /etc/hostname /dev/full\n")
    with pytest.raises(NoSpace, match="image story could not be built") as failure:
        images.get("story")
    assert "No space left" in Path(failure.value.facts["log"]).read_text()
    assert abandoned(images.cache) == ()


@as_root
def test_build_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_BUILD_SECONDS", 1.0)
    sleep = endless()
    with pytest.raises(ImageError, match="could not be built") as failure:
        store(tmp_path, f"#!/bin/sh\nsleep {sleep}\n").get("story")
    assert failure.value.facts["reason"] == "not in time: image story is built"
    await_end_of(sleep)


def test_disk_that_is_too_full_is_told_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_NEEDED_SPACE", 1 << 62)
    with pytest.raises(NoSpace, match="not enough disk space for image story to be built"):
        store(tmp_path).get("story")


def test_only_root_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ImageError, match="image story can only be built as root") as refusal:
        store(tmp_path).get("story")
    assert "kdump-verify image build story" in refusal.value.facts["way out"]


def test_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    images = store(tmp_path)
    (tmp_path / "images" / "recipes" / "instant" / "build").unlink()
    with pytest.raises(ImageError, match="names the recipe 'instant'"):
        images.get("story")


def test_image_that_is_not_described_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no image 'banana'"):
        store(tmp_path).get("banana")


@as_root
def test_two_who_ask_at_once_share_one_build(tmp_path: Path) -> None:
    images = store(tmp_path, COUNTED.replace("set -eu", "set -eu; sleep 0.5"))
    ways = images.cache, images.descriptions
    with python(BUILDER, *ways) as one, python(BUILDER, *ways) as other:
        assert said(one) == said(other) == str(images.get("story").folder)
    assert (tmp_path / "images" / "count").read_text() == "built\n"


@as_root
@pytest.mark.usefixtures("confined")
def test_killed_build_leaves_no_process_and_nothing_that_is_used(tmp_path: Path) -> None:
    sleep = endless()
    images = store(tmp_path, RECIPE + f'(sleep {sleep}) & touch "$3/begun"; sleep {sleep}\n')
    with python(BUILDER, images.cache, images.descriptions) as builder:
        await_file(images.cache / "images" / "story" / ".staging" / "begun")
        builder.kill()
    await_end_of(sleep)
    assert images.builds("story") == ()
    describe(tmp_path / "images")
    assert images.get("story").disk.exists()


@as_root
@pytest.mark.usefixtures("confined")
def test_left_overs_of_a_killed_build_are_reaped(tmp_path: Path) -> None:
    sleep = endless()
    images = store(tmp_path, RECIPE + f'touch "$3/begun"; sleep {sleep}\n')
    with python(BUILDER, images.cache, images.descriptions) as builder:
        await_file(images.cache / "images" / "story" / ".staging" / "begun")
        assert reap(tmp_path / "runs", images.cache).nothing
        builder.kill()
    await_end_of(sleep)
    assert reap(tmp_path / "runs", images.cache).stagings == (
        images.cache / "images" / "story" / ".staging",
    )
    assert reap(tmp_path / "runs", images.cache).nothing


@as_root
def test_all_builds_of_an_image_can_be_removed(tmp_path: Path) -> None:
    images = store(tmp_path)
    images.get("story")
    describe(tmp_path / "images", recipe=RECIPE + "# changed\n")
    images.get("story")
    assert len(images.remove("story")) == 2
    assert images.builds("story") == images.remove("story") == ()


def bzimage(version: bytes) -> bytes:
    """The header of an x86 kernel that points to its version."""
    kernel = bytearray(0x400)
    kernel[0x202:0x206] = b"HdrS"
    kernel[0x20E:0x210] = struct.pack("<H", 0x300 - 0x200)
    kernel[0x300 : 0x300 + len(version)] = version
    return bytes(kernel)


@pytest.mark.parametrize(
    ("kernel", "release"),
    [
        (bzimage(b"6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0"), "6.1.0-56-cloud-amd64"),
        (bzimage(b"\0"), ""),
        (bzimage(b"")[:0x210], ""),
        (b"", ""),
        (b"MZ" * 1000, ""),
        (b"\0Linux version 6.1.0-56-arm64 (debian-kernel@lists.debian.org) (gcc-12", "6.1.0-56-arm64"),
        (b"Linux version \xff (", ""),
    ],
)
def test_kernels_release_is_read_off_its_header(kernel: bytes, release: str) -> None:
    assert build.kernel_release(kernel) == release
