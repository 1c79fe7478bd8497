"""Images: what ``images/NAME/image.toml`` says, and what was built of it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import pydantic

from kdump_tests.errors import BadInput, ImageError
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.spec import Firmware, short_name
from kdump_tests.validation import Size, Strict, load_toml

# Where images are described: the project's own, unless KDUMP_VERIFY_IMAGES names another folder.
FOLDER = Path(os.environ.get("KDUMP_VERIFY_IMAGES") or Path(__file__).resolve().parents[2] / "images")


# What kdump is on the disk; ``auto`` is whichever a guest of it turns out to have.
StackName: TypeAlias = Literal["auto", "debian", "el", "suse"]

# The kernel of an image that boots by firmware, copied out of a guest.
KERNEL_COPY = "vmlinuz"


class Boot(Strict):
    """How the machine starts. Without ``kernel``, ``firmware`` and the disk's own boot loader do it."""

    firmware: Firmware = "bios"
    kernel: str | None = None
    initrd: str | None = None
    root: str | None = None
    arguments: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _direct_boot_is_whole(self) -> Self:
        if self.kernel is None and (self.initrd or self.root or self.arguments):
            raise ValueError("initrd, root and arguments need a kernel to pass them to")
        return self


class Build(Strict):
    """How the image is made: the script ``images/recipes/RECIPE/build`` and what it is given.

    Without ``disk`` the image is a kernel alone: it can be probed, and no guest boots it.
    """

    recipe: str
    suite: str
    disk: Size | None = None
    packages: tuple[str, ...]


class Image(Strict):
    """One image.toml, or a disk that somebody brought.

    ``name`` is its folder's, or the disk's path, ``stack`` that of the kdump on its disk, auto where that is
    not known before it has booted, None where there is no disk. Without ``build`` somebody has to bring its
    ``disk``, which can be had at ``download``.
    """

    name: str
    description: str
    distribution: str
    stack: StackName | None = None
    architecture: Literal["x86_64", "arm64", "ppc64le"]
    boot: Boot
    build: Build | None = None
    download: str | None = None
    disk: Path | None = None

    @pydantic.model_validator(mode="after")
    def _is_a_system_or_a_kernel_alone(self) -> Self:
        if self.build is None:
            if self.download is None and self.disk is None:
                raise ValueError("there is neither a build nor a download")
            if self.boot.kernel or self.stack is None:
                raise ValueError("a disk that is brought has a stack, and a kernel of its own")
            return self
        if self.download or self.disk:
            raise ValueError("what is built is not brought")
        if self.build.disk is None:
            if self.boot.kernel is None:
                raise ValueError("there is neither a disk nor a kernel")
            if self.stack or self.boot.initrd or self.boot.root or self.boot.arguments:
                raise ValueError("stack, initrd, root and arguments need a disk")
        elif self.stack is None:
            raise ValueError("a disk needs the stack of its kdump")
        elif self.boot.kernel is not None and self.boot.root is None:
            raise ValueError("a kernel needs a root device")
        return self

    def guest_stack(self) -> StackName:
        """The kdump stack of a guest that boots the image.

        Raises:
            BadInput: it is a kernel alone.
        """
        if self.stack is None:
            raise BadInput(
                f"{self.name} is a kernel of {self.architecture} alone: no guest boots it",
                way_out=f"kdump-verify probe --image {self.name} asks it what it reserves",
            )
        return self.stack

    def brought_disk(self) -> Path:
        """The disk that somebody brought for it.

        Raises:
            BadInput: nobody did.
        """
        if self.disk is None:
            raise BadInput(
                f"{self.name} needs a disk to be brought",
                download=self.download,
                way_out=f"--image {self.name}=PATH",
            )
        return self.disk

    @property
    def boots_by_firmware(self) -> bool:
        """Whether the machine starts by its own boot loader, with its own kernel command line."""
        return self.boot.kernel is None

    @classmethod
    def load(cls, name: str, folder: Path = FOLDER) -> Self:
        """Read an image's description.

        A path, which has a slash in it, is a disk that describes itself; NAME=PATH is one that is described.

        Raises:
            BadInput: there is no image of that name.
            ImageError: its image.toml is unreadable, or says what it must not.
        """
        described, equals, path_given = name.partition("=")
        if "/" in described:
            return cls(name=name, description="A disk that was brought", distribution=short_name(name),
                       architecture="x86_64", stack="auto", boot=Boot(), disk=Path(name))  # fmt: skip
        if equals:
            image = cls.load(described, folder)
            if image.build is not None:
                raise BadInput(f"--image {name}: {described} is built, and no disk is brought for it")
            return image.model_copy(update={"disk": Path(path_given)})
        path = folder / name / "image.toml"
        if name not in names(folder):
            raise BadInput(
                f"there is no image {name!r}",
                known=", ".join(names(folder)),
                way_out=f"add {folder}/NAME/image.toml; the path of a disk has a slash in it: ./{name}",
            )
        return load_toml(cls, path, name, what="image description", refusal=ImageError)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """The images that are described, sorted."""
    return tuple(sorted(path.parent.name for path in folder.glob("*/image.toml")))


@dataclass(frozen=True)
class BuiltImage:
    """An image in the cache, ready to boot.

    ``brought`` is its disk where that does not lie in the folder, or is no raw one. ``digest`` names what
    went in: the recipe's content and every package's version.
    ``crashkernel`` is what the distribution's own kdump package asks for, None when it asks nothing.
    """

    image: Image
    folder: Path
    digest: str
    kernel_release: str
    crashkernel: str | None
    packages: tuple[tuple[str, str], ...]
    brought: DiskFile | None = None

    @property
    def disk(self) -> Path:
        """The root disk, unless the image is a kernel alone. Never written to: guests get overlays."""
        return self.brought.path if self.brought else self.folder / "disk.raw"

    @property
    def disk_format(self) -> str:
        """As qemu-img calls it."""
        return self.brought.format if self.brought else "raw"

    @property
    def disk_size(self) -> int:
        """What the guest sees of that disk, in bytes."""
        return self.brought.size if self.brought else self.disk.stat().st_size

    @property
    def kernel(self) -> Path | None:
        """The kernel outside of its disk: to boot directly, or to be asked alone. None while not known."""
        if self.image.boot.kernel:
            return self.folder / self.image.boot.kernel
        return self.folder / KERNEL_COPY if self.kernel_release else None

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
