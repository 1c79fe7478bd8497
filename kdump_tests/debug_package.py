"""The debug information of an image's kernel: fetched into the cache once, found there by its build ID.

It is a gigabyte on the way and half of one in the end, so nobody gets it without asking.
"""

from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, ImageError
from kdump_tests.guest.cache import locked, publish, remove_tree
from kdump_tests.guest.image import FOLDER, Build, BuiltImage, Image
from kdump_tests.guest.recipe import Recipe
from kdump_tests.sizes import GIB
from kdump_tests.steps import step
from kdump_tests.vmcore.debug_information import Vmlinux, build_id_of, cached

# Of Debian 12's cloud kernel: a package of 283 MB, a vmlinux of 590 MB. Of a full kernel, twice that.
_NEEDED_SPACE = 2 * GIB
_INSTALL_SECONDS = 1800.0  # a minute here; slow mirrors pass


@dataclass(frozen=True)
class DebugPackages:
    """The debug information in one cache, by image and build ID."""

    cache: Path
    descriptions: Path = FOLDER

    def install(self, built: BuiltImage) -> Vmlinux:
        """The vmlinux of that image's kernel, fetched when it is not there.

        Raises:
            BadInput: the image's recipe knows of no debug information.
            ImageError: it could not be fetched, or is no vmlinux.
            NoSpace: the cache's disk is too full.
        """
        name, build = built.image.name, _build(built.image)
        recipe = self._recipe(built, build)
        if found := self.find(built):
            return found
        until = Deadline.after(_INSTALL_SECONDS, f"the debug information of {name} is installed")
        with locked(self.cache / "locks" / f"debuginfo {name}.lock", until):
            # Another process may have fetched it while this one waited.
            return self.find(built) or self._fetch(built, recipe, build.suite, until)

    def find(self, built: BuiltImage) -> Vmlinux | None:
        """What was installed for this very build of the kernel."""
        for path in sorted(self._parent(built.image.name).glob("*/vmlinux")):
            if (path.parent / "package").read_text() == _package(built):
                return Vmlinux(path, path.parent.name)
        return None

    def remove(self, name: str) -> tuple[Path, ...]:
        """Remove what was installed for an image and return the folders."""
        until = Deadline.after(60, f"the debug information of {name} is free to be removed")
        with locked(self.cache / "locks" / f"debuginfo {name}.lock", until):
            gone = tuple(sorted(path.parent for path in self._parent(name).glob("*/vmlinux")))
            for folder in gone:
                remove_tree(folder)
        return gone

    def _recipe(self, built: BuiltImage, build: Build) -> Recipe:
        # Beside the image's recipe and not in it: what is in it decides whether an image is built anew.
        name = built.image.name
        program = self.descriptions / "recipes" / f"{build.recipe}-debuginfo" / "fetch"
        if not program.is_file():
            raise BadInput(
                f"{name}: its recipe {build.recipe!r} knows of no debug information",
                missing=program,
                way_out="--vmlinux PATH, where you have one",
            )
        return Recipe(
            program=program,
            makes=f"the debug information of {name}",
            done="fetched",
            space=_NEEDED_SPACE,
            root_because="the package is unpacked by the system's own tools, which take files for root's",
            as_root=f"kdump-verify image debuginfo {name}",
            kept_log=self.cache / f"{name}-debuginfo.log",
            way_out=f"where the mirror has no {_package(built).strip()} any more: "
            f"`kdump-verify image remove {name}`, and build it anew",
        )

    def _fetch(self, built: BuiltImage, recipe: Recipe, suite: str, until: Deadline) -> Vmlinux:
        name, parent = built.image.name, self._parent(built.image.name)

        def arguments(folder: Path) -> list[str | Path]:
            return [suite, folder, built.kernel_release, _version(built)]

        with (
            step(name, "fetching the debug information"),
            recipe.carried_out(parent, arguments, until) as folder,
        ):
            build_id = build_id_of(folder / "vmlinux")
            (folder / "package").write_text(_package(built))
            goal = parent / build_id
            publish(folder, goal)
        return Vmlinux(goal / "vmlinux", build_id)

    def _parent(self, name: str) -> Path:
        return cached(self.cache) / name


def _build(image: Image) -> Build:
    if image.build is None:
        raise BadInput(
            f"{image.name} was made by others, so where its debug information can be had is not known",
            way_out="--vmlinux PATH, where you have one",
        )
    return image.build


def _package(built: BuiltImage) -> str:
    return f"{built.kernel_release} {_version(built)}\n"


def _version(built: BuiltImage) -> str:
    """Of the package that the image's kernel came in."""
    packages = dict(built.packages)
    try:
        return packages[f"linux-image-{built.kernel_release}"]
    except KeyError:
        raise ImageError(
            f"{built.image.name} does not tell which package its kernel came in",
            kernel=built.kernel_release,
        ) from None
