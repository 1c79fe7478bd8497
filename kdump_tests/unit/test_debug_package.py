"""Debug information is fetched once for a build of a kernel, whole, and found by its build ID."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kdump_tests.debug_package import DebugPackages
from kdump_tests.errors import BadInput, ImageError, NoSpace
from kdump_tests.guest.cache import abandoned
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.reaper import reap
from kdump_tests.unit.guest.described import describe
from kdump_tests.unit.guest.others import await_end_of, await_file, endless, python
from kdump_tests.unit.vmcore.vmlinuxes import BUILD_ID, vmlinux
from kdump_tests.vmcore.debug_information import find

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="packages are unpacked as root")
RELEASE = "6.1.0-story"
FETCH = """\
#!/bin/sh
set -eu
echo fetched >> "$(dirname "$0")/count"
test "$1 $3 $4" = "bookworm 6.1.0-story 6.1.192-2"
cp "$(dirname "$0")/vmlinux" "$2/vmlinux"
"""
FETCHER = """
import sys
from pathlib import Path
from kdump_tests.unit.test_debug_package import packages, built
packages(Path(sys.argv[1])).install(built(Path(sys.argv[1])))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = describe(tmp_path / "images") / "recipes" / "instant-debuginfo"
    recipe.mkdir()
    (recipe / "vmlinux").write_bytes(vmlinux())
    fetches(tmp_path, FETCH)
    return tmp_path


def fetches(folder: Path, script: str) -> None:
    fetch = folder / "images" / "recipes" / "instant-debuginfo" / "fetch"
    fetch.write_text(script)
    fetch.chmod(0o755)


def packages(folder: Path) -> DebugPackages:
    return DebugPackages(folder / "cache", folder / "images")


def built(folder: Path, version: str = "6.1.192-2") -> BuiltImage:
    image = Image.load("story", folder / "images")
    return BuiltImage(
        image, folder / "built", "d1-d2", RELEASE, None, ((f"linux-image-{RELEASE}", version),)
    )


def fetched(folder: Path) -> int:
    return len((folder / "images/recipes/instant-debuginfo/count").read_text().splitlines())


def test_an_image_that_others_made_says_so(folder: Path) -> None:
    other = built(folder).image.model_copy(update={"build": None})
    with pytest.raises(BadInput, match="was made by others"):
        packages(folder).install(replace(built(folder), image=other))


@as_root
def test_it_is_fetched_once_and_found_by_its_build_id(folder: Path) -> None:
    first = packages(folder).install(built(folder))
    assert packages(folder).install(built(folder)) == first
    assert fetched(folder) == 1
    assert find(BUILD_ID, RELEASE, folder / "cache", folder / "root").vmlinux == first
    assert abandoned(folder / "cache") == ()


@as_root
def test_that_of_another_version_of_the_kernel_is_not_taken(folder: Path) -> None:
    packages(folder).install(built(folder))
    assert packages(folder).find(built(folder, "6.1.193-1")) is None


@as_root
def test_what_is_no_vmlinux_is_not_kept(folder: Path) -> None:
    fetches(folder, '#!/bin/sh\necho text > "$2/vmlinux"\n')
    with pytest.raises(ImageError, match="could not be fetched") as caught:
        packages(folder).install(built(folder))
    assert "is no vmlinux" in caught.value.facts["reason"]
    assert packages(folder).find(built(folder)) is None


@as_root
def test_a_mirror_without_the_package_is_told_with_the_way_out(folder: Path) -> None:
    fetches(folder, "#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    with pytest.raises(ImageError) as caught:
        packages(folder).install(built(folder))
    assert "Unable to locate package" in caught.value.facts["said"]
    assert "kdump-verify image remove story" in caught.value.facts["way out"]
    assert "Unable to locate" in Path(caught.value.facts["log"]).read_text()


@as_root
def test_a_fetch_that_is_killed_leaves_nothing_that_counts(folder: Path) -> None:
    forever = endless()
    fetches(folder, f'#!/bin/sh\necho half > "$2/vmlinux"\nexec sleep {forever}\n')
    half = folder / "cache/debuginfo/story/.staging/vmlinux"
    with python(FETCHER, folder) as process:
        await_file(half)
        process.kill()
        process.wait()
    await_end_of(forever)
    assert reap(folder / "runs", folder / "cache").stagings == (half.parent,)
    fetches(folder, FETCH)
    assert packages(folder).install(built(folder)).build_id == BUILD_ID


def test_a_full_disk_is_told_before_anything_is_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdump_tests.debug_package._NEEDED_SPACE", 1 << 62)
    with pytest.raises(NoSpace, match="the debug information of story"):
        packages(folder).install(built(folder))


def test_a_recipe_that_knows_of_none_is_named(folder: Path) -> None:
    image = built(folder).image
    assert image.build is not None
    other = image.model_copy(update={"build": image.build.model_copy(update={"recipe": "debian-kernel"})})
    with pytest.raises(BadInput, match="'debian-kernel' knows of no debug information"):
        packages(folder).install(replace(built(folder), image=other))


@as_root
def test_removed_is_gone(folder: Path) -> None:
    found = packages(folder).install(built(folder))
    assert packages(folder).remove("story") == (found.path.parent,)
    assert packages(folder).find(built(folder)) is None
