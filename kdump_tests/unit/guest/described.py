"""A folder of images of one's own: what a test describes and how that is built."""

from pathlib import Path

from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.image import BuiltImage, Image

DESCRIPTION = """\
description = "A system that is built in no time"
distribution = "debian-12"
stack = "debian"
architecture = "x86_64"

[boot]
kernel = "vmlinuz"
initrd = "initrd"
root = "/dev/vda"
arguments = ["rw", "console=ttyS0"]

[build]
recipe = "instant"
suite = "bookworm"
disk = "1G"
packages = ["kdump-tools"]
"""

KERNEL_ALONE = """\
description = "A kernel and nothing else"
distribution = "debian-12"
architecture = "arm64"

[boot]
kernel = "vmlinuz"

[build]
recipe = "instant"
suite = "bookworm"
packages = ["linux-image-arm64:arm64"]
"""

# As the recipes of images/ are called: build SUITE DISK_SIZE OUT PACKAGE...
RECIPE = """\
#!/bin/sh
set -eu
echo "$1 $2 $4" > "$3/disk.raw"
echo kernel > "$3/vmlinuz"
echo initrd > "$3/initrd"
echo "384M-:128M" > "$3/crashkernel"
printf 'kdump-tools 1.8.1\\nlinux-image 6.1\\n' > "$3/packages"
"""


def describe(folder: Path, description: str = DESCRIPTION, recipe: str = RECIPE) -> Path:
    """Describe the image ``story`` in ``folder``."""
    for path, content in (("story/image.toml", description), ("recipes/instant/build", recipe)):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    return folder


def store(folder: Path, recipe: str = RECIPE) -> ImageStore:
    """An empty cache in ``folder``, and ``story`` described beside it."""
    return ImageStore(folder / "cache", describe(folder / "images", recipe=recipe))


def built_image(name: str = "debian-12") -> BuiltImage:
    """An image of ours, as if it had been built."""
    return BuiltImage(Image.load(name), Path("/cache/built"), "d1-d2", "6.1.0", "384M-:128M", ())
