"""Building images into the cache: once per recipe, whoever asks first; all others wait and share."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import ImageError
from kdump_tests.guest.cache import locked, publish, remove_tree
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.image import FOLDER, BuiltImage, Image, names
from kdump_tests.guest.recipe import Recipe
from kdump_tests.sizes import GIB
from kdump_tests.steps import step

# A tree of 400 MB, the disk made of it, downloads. Ten times the usual time lets slow mirrors pass.
_NEEDED_SPACE = 2 * GIB
_BUILD_SECONDS = 1200.0


@dataclass(frozen=True)
class ImageStore:
    """The built images of one cache, and the descriptions they are built from."""

    cache: Path
    descriptions: Path = FOLDER

    def get(self, name: str) -> BuiltImage:
        """The built image of that name, building it when its recipe was never built.

        Raises:
            BadInput: there is no such image.
            ImageError: its description is wrong, or its build failed.
            NoSpace: the cache's disk is too full.
        """
        image = Image.load(name, self.descriptions)
        if image.build is None:
            disk = DiskFile.examine(image.brought_disk())
            return BuiltImage(image, disk.path.parent, disk.identity, "", None, (), disk)
        if found := self.find(image):
            return found
        until = Deadline.after(_BUILD_SECONDS, f"image {name} is built")
        with locked(self._lock(name), until):
            # Another process may have built it while this one waited.
            return self.find(image) or self._build(image, until)

    def find(self, image: Image) -> BuiltImage | None:
        """The newest build of the image's present recipe; None of what is brought."""
        if image.build is None:
            return None
        built = sorted(self._parent(image.name).glob(f"{self._recipe_digest(image)}-*/manifest.json"))
        return max((BuiltImage.load(image, path.parent) for path in built), key=_built_at, default=None)

    def builds(self, name: str) -> tuple[Path, ...]:
        """The folders of all builds of an image, of past recipes too."""
        return tuple(sorted(path.parent for path in self._parent(name).glob("*/manifest.json")))

    def remove(self, name: str) -> tuple[Path, ...]:
        """Remove every build of an image and return their folders."""
        until = Deadline.after(_BUILD_SECONDS, f"image {name} is free to be removed")
        with locked(self._lock(name), until):
            gone = self.builds(name)
            for folder in gone:
                remove_tree(folder)
        return gone

    def names(self) -> tuple[str, ...]:
        """The images that are described."""
        return names(self.descriptions)

    def _build(self, image: Image, until: Deadline) -> BuiltImage:
        parent, build = self._parent(image.name), image.build
        assert build is not None
        recipe = Recipe(
            program=self.descriptions / "recipes" / build.recipe / "build",
            makes=f"image {image.name}",
            done="built",
            space=_NEEDED_SPACE,
            root_because="a system is bootstrapped as root, or its files would belong to somebody else",
            as_root=f"kdump-verify image build {image.name}",
            kept_log=self.cache / f"{image.name}-build.log",
        )

        def arguments(folder: Path) -> list[str | Path]:
            return [build.suite, build.disk or "none", folder, *build.packages]

        with (
            step(image.name, "building the image"),
            recipe.carried_out(parent, arguments, until) as folder,
        ):
            manifest = _manifest(image, folder, self._recipe_digest(image))
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            goal = parent / str(manifest["name"])
            publish(folder, goal)
        return BuiltImage.load(image, goal)

    def _parent(self, name: str) -> Path:
        return self.cache / "images" / name

    def _lock(self, name: str) -> Path:
        return self.cache / "locks" / f"image {name}.lock"

    def _recipe_digest(self, image: Image) -> str:
        """Of everything that decides the build: the description's [build] and the recipe's files."""
        assert image.build is not None
        recipe = self.descriptions / "recipes" / image.build.recipe
        if not (recipe / "build").is_file():
            raise ImageError(
                f"image {image.name} names the recipe {image.build.recipe!r}", missing=recipe / "build"
            )
        digest = hashlib.sha256(image.build.model_dump_json().encode())
        for file in sorted(path for path in recipe.rglob("*") if path.is_file()):
            digest.update(f"{file.relative_to(recipe)}\0{file.stat().st_mode & 0o111:o}\0".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:12]


def _manifest(image: Image, folder: Path, recipe_digest: str) -> dict[str, object]:
    assert image.build is not None
    disk = "disk.raw" if image.build.disk else None
    for name in (disk, "packages", image.boot.kernel, image.boot.initrd):
        if name and not (folder / name).is_file():
            raise ImageError(f"the build of {image.name} left no {name}", recipe=image.build.recipe)
    versions = (folder / "packages").read_text()
    kernel = (folder / image.boot.kernel).read_bytes() if image.boot.kernel else b""
    packages_digest = hashlib.sha256(versions.encode()).hexdigest()[:12]
    return {
        "name": f"{recipe_digest}-{packages_digest}",
        "digest": f"{recipe_digest}-{packages_digest}",
        "built_at": time.time(),
        "kernel_release": kernel_release(kernel),
        "crashkernel": _first_line(folder / "crashkernel"),
        "packages": dict(line.split(" ", 1) for line in versions.splitlines()),
    }


def kernel_release(kernel: bytes) -> str:
    """The release in a bzImage's header (kernel_version of Documentation/arch/x86/boot.rst).

    Of a kernel that is not packed, the one in its banner (init/version-timestamp.c); else nothing.
    """
    if kernel[0x202:0x206] == b"HdrS":
        start = int.from_bytes(kernel[0x20E:0x210], "little") + 0x200
        match = re.match(rb"[^\s\0]+", kernel[start : start + 200])
        return match[0].decode(errors="replace") if match else ""
    match = re.search(rb"Linux version ([!-~]{1,100}) \(", kernel)
    return match[1].decode() if match else ""


def _first_line(path: Path) -> str | None:
    lines = path.read_text().splitlines() if path.is_file() else []
    return lines[0] if lines else None


def _built_at(built: BuiltImage) -> float:
    return (built.folder / "manifest.json").stat().st_mtime
