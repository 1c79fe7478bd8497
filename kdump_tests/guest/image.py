"""Images: what ``images/NAME/image.toml`` says, and what was built of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pydantic

from kdump_tests.errors import BadInput, ImageError
from kdump_tests.validation import Size, Strict, load_toml

FOLDER = Path(__file__).resolve().parents[2] / "images"


class Boot(Strict):
    """How the machine starts. Without ``kernel``, firmware and the disk's own boot loader do it."""

    kernel: str | None = None
    initrd: str | None = None
    root: str | None = None
    arguments: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _direct_boot_is_whole(self) -> Self:
        if self.kernel is None and (self.initrd or self.root or self.arguments):
            raise ValueError("initrd, root and arguments need a kernel to pass them to")
        if self.kernel is not None and self.root is None:
            raise ValueError("a kernel needs a root device")
        return self


class Build(Strict):
    """How the image is made: the script ``images/recipes/RECIPE/build`` and what it is given."""

    recipe: str
    suite: str
    disk: Size
    packages: tuple[str, ...]


class Image(Strict):
    """One image.toml. ``name`` is its folder's."""

    name: str
    description: str
    distribution: str
    stack: Literal["debian"]
    architecture: Literal["x86_64"]
    boot: Boot
    build: Build

    @classmethod
    def load(cls, name: str, folder: Path = FOLDER) -> Self:
        """Read an image's description.

        Raises:
            BadInput: there is no image of that name.
            ImageError: its image.toml is unreadable, or says what it must not.
        """
        path = folder / name / "image.toml"
        if name not in names(folder):
            raise BadInput(
                f"there is no image {name!r}",
                known=", ".join(names(folder)),
                way_out=f"add {folder}/NAME/image.toml",
            )
        return load_toml(cls, path, name, what="image description", refusal=ImageError)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """The images that are described, sorted."""
    return tuple(sorted(path.parent.name for path in folder.glob("*/image.toml")))


@dataclass(frozen=True)
class BuiltImage:
    """An image in the cache, ready to boot.

    ``digest`` names what went in: the recipe's content and every package's version.
    ``crashkernel`` is what the distribution's own kdump package asks for, None when it asks nothing.
    """

    image: Image
    folder: Path
    digest: str
    kernel_release: str
    crashkernel: str | None
    packages: tuple[tuple[str, str], ...]

    @property
    def disk(self) -> Path:
        """The root disk. Never written to: guests get overlays."""
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path | None:
        """The kernel for direct boot."""
        return self.folder / self.image.boot.kernel if self.image.boot.kernel else None

    @property
    def initrd(self) -> Path | None:
        """The initrd for direct boot."""
        return self.folder / self.image.boot.initrd if self.image.boot.initrd else None

    @classmethod
    def load(cls, image: Image, folder: Path) -> Self:
        """Read what the build recorded beside its disk."""
        record = json.loads((folder / "manifest.json").read_text())
        return cls(
            image=image,
            folder=folder,
            digest=record["digest"],
            kernel_release=record["kernel_release"],
            crashkernel=record["crashkernel"],
            packages=tuple((name, version) for name, version in record["packages"].items()),
        )
