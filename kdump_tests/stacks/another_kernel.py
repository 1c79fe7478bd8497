"""A kernel of the user's in a guest of any image: its modules put into the system, its initrds made there.

The image itself stays as it is. It is booted once with its own kernel and a disk that is nothing but a tar
archive; what comes of that is kept, and every guest with this kernel is an overlay of it.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.build import kernel_release
from kdump_tests.guest.cache import locked, publish, staging
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy
from kdump_tests.guest.spec import Disk, GuestSpec
from kdump_tests.steps import step
from kdump_tests.subprocesses import run

_RECORD = "kernel.json"
_DISK = "disk.qcow2"
_SERIAL = "another-kernel"
_ARCHIVE_SECONDS = 300.0
_MAKE_SECONDS = 1800.0
_INITRD_SECONDS = 900.0
_LARGEST_INITRD = 1 << 30
# Found by what a system has: initramfs-tools, or dracut. kdump-tools makes its own initrd as kernels are
# installed; where its hook is not there, kdump makes it as it starts. mkinitramfs packs by what the kernel's
# configuration says that it unpacks, and by nothing without one: gzip is what usr/Kconfig says by default.
# kdump-config makes its initrd anew where it has no record of the settings that it was made with
# (check_sysctl_change() of 1.8.1), a minute of every boot.
_TAKE = """
set -e
release=$1
tar --directory=/ --extract --no-same-owner --file="/dev/disk/by-id/virtio-$2"
depmod "$release"
config="/boot/config-$release"
if [ ! -e "$config" ]; then echo "CONFIG_RD_GZIP=y" > "$config"; fi
if [ ! -e "/boot/initrd.img-$release" ]; then
    if command -v update-initramfs > /dev/null; then
        update-initramfs -c -k "$release"
    else
        dracut --kver "$release" "/boot/initrd.img-$release"
    fi
fi
hook=/etc/kernel/postinst.d/kdump-tools
if [ -x "$hook" ]; then "$hook" "$release"; fi
if [ -e /etc/kdump/sysctl.conf ]; then cp /etc/kdump/sysctl.conf "/var/lib/kdump/latest_sysctls-$release"; fi
sync
"""


@dataclass(frozen=True)
class KernelFiles:
    """What the user gives: a kernel, its initrd unless one shall be made, and where its modules are."""

    kernel: Path
    initrd: Path | None
    modules: Path

    @property
    def release(self) -> str:
        """As ``uname -r`` will say it.

        Raises:
            BadInput: the file is no kernel for a direct boot.
        """
        try:
            found = kernel_release(self.kernel.read_bytes())
        except OSError as error:
            raise BadInput(f"--kernel {self.kernel} cannot be read", reason=error) from None
        if not found:
            raise BadInput(f"--kernel {self.kernel} is no kernel that says its release")
        return found

    @property
    def digest(self) -> str:
        """Changes when one of the files does, as far as their file systems tell."""
        told = []
        for path in filter(None, (self.kernel, self.initrd, self.modules)):
            found = path.stat()
            told.append((str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns))
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]

    def check(self) -> None:
        """Refuse what is not there, before anything is begun.

        Raises:
            BadInput: names it.
        """
        assert self.release
        for option, path in (("initrd", self.initrd), ("modules", self.modules)):
            if path is not None and not path.exists():
                raise BadInput(f"--{option} {path} is not there")


def known(image: BuiltImage, files: KernelFiles, cache: Path) -> BuiltImage | None:
    """The image with that kernel, None if it was not made yet."""
    folder = _folder(image, files, cache)
    try:
        told = json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    boot = image.image.boot.model_copy(update={"kernel": "vmlinuz", "initrd": "initrd"})
    return replace(
        image,
        image=image.image.model_copy(update={"boot": boot}),
        folder=folder,
        digest=f"{image.digest}-{files.digest}",
        kernel_release=told["release"],
        brought=DiskFile(folder / _DISK, "qcow2", told["size"]),
    )


def equipped(
    image: BuiltImage, files: KernelFiles, cache: Path, lab: Lab, spec: GuestSpec, folder: Path
) -> BuiltImage:
    """The image with that kernel, made by whoever asks first. ``folder`` gets the console of the guest.

    Raises:
        BadInput: there are no modules of this kernel among what was given.
        LabError: the system of the image does not take them.
    """
    goal = _folder(image, files, cache)
    until = lab.accelerator.deadline(_MAKE_SECONDS, f"{spec.name} takes another kernel")
    with locked(cache / "locks" / f"kernel in {image.image.name}.lock", until):
        if known(image, files, cache) is None:
            with staging(goal.parent) as new, _archive(files, lab.run.folder) as archive:
                disk = Disk(_SERIAL, archive.stat().st_size, archive)
                with lab.guest(replace(spec, disks=(disk,)), image, folder) as guest:
                    _take(guest, files, new)
                publish(new, goal)
    made = known(image, files, cache)
    assert made
    return made


def _folder(image: BuiltImage, files: KernelFiles, cache: Path) -> Path:
    return cache / "kernels-in" / image.image.name / f"{image.digest}-{files.digest}"


def _take(guest: Guest, files: KernelFiles, new: Path) -> None:
    release = files.release
    with step(guest.name, f"taking kernel {release}"):
        until = guest.deadline(_INITRD_SECONDS, f"the initrds of {release} are made")
        guest.shell.run("sh", "-c", _TAKE, "take", release, _SERIAL, until=until)
        initrd = f"/boot/initrd.img-{release}"
        said = guest.shell.run("stat", "--format=%s", "--", initrd, until=guest.command_deadline()).strip()
        if not said.isdecimal() or int(said) > _LARGEST_INITRD:
            raise LabError(f"{guest.name}: {initrd} is no initrd", size=said[:40])
        guest.fetch([Copy(initrd, new / "initrd", int(said))], until)
        guest.power_off()
    shutil.copyfile(files.kernel, new / "vmlinuz")
    assert guest.root_disk
    shutil.move(guest.root_disk, new / _DISK)
    (new / _RECORD).write_text(json.dumps({"release": release, "size": guest.image.disk_size}))


@contextmanager
def _archive(files: KernelFiles, within: Path) -> Iterator[Path]:
    """All of it as one tar archive, under the names that the guest's system looks for."""
    release = files.release
    with TemporaryDirectory(dir=within) as name:
        folder = Path(name)
        given = _unpacked(files.modules, folder / "given")
        modules = _modules(given, release)
        if modules is None:
            raise BadInput(
                f"--modules {files.modules} has no modules of {release}",
                reason=f"there is no lib/modules/{release} in it",
                way_out="what `make modules_install INSTALL_MOD_PATH=DIR` fills, or this kernel's package",
            )
        with tarfile.open(folder / "kernel.tar", "w") as archive:
            archive.add(files.kernel.resolve(), f"boot/vmlinuz-{release}", filter=_as_roots)
            if config := _config(files.kernel.resolve(), given, modules):
                archive.add(config, f"boot/config-{release}", filter=_as_roots)
            if files.initrd:
                archive.add(files.initrd.resolve(), f"boot/initrd.img-{release}", filter=_as_roots)
            archive.add(modules, f"usr/lib/modules/{release}", filter=_as_roots)
        yield folder / "kernel.tar"


def _as_roots(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files and folders of root's; links lead to where the kernel was built."""
    member.uid = member.gid = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member if member.isdir() or member.isreg() else None


def _modules(given: Path, release: str) -> Path | None:
    """The folder of that release's modules; a package may have it below /usr."""
    found = (given / above / "lib/modules" / release for above in ("", "usr"))
    return next((folder for folder in found if folder.is_dir() and not folder.is_symlink()), None)


def _config(kernel: Path, given: Path, modules: Path) -> Path | None:
    """The kernel's configuration: in its package, beside its modules or itself, or where it was built."""
    name = f"config-{modules.name}"
    beside = (given / "boot" / name, modules / "config", modules / "build/.config", kernel.with_name(name))
    tree = kernel.parents[3] / ".config" if kernel.match("arch/*/boot/*") else None
    return next((path for path in (*beside, tree) if path and path.is_file()), None)


def _unpacked(given: Path, folder: Path) -> Path:
    until = Deadline.after(_ARCHIVE_SECONDS, f"{given} is unpacked")
    if given.is_dir():
        return given
    folder.mkdir()
    if given.suffix == ".deb":
        run(["dpkg-deb", "--extract", given, folder], until)
    elif given.suffix == ".rpm":
        run(["bsdtar", "--extract", "--file", given, "--directory", folder], until)
    else:
        raise BadInput(f"--modules {given} is no folder, no .deb and no .rpm")
    return folder
