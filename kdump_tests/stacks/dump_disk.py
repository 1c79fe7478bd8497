"""A disk of its own for dumps: made ready in the guest as the configuration names it, and mounted there."""

import re
from dataclasses import dataclass

from kdump_tests.errors import BadInput
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.spec import Disk
from kdump_tests.sizes import GIB
from kdump_tests.stacks.dump_target import By, FileSystem, Partition, Raw

DISK = Disk("dumps", 2 * GIB)
_DEVICE = f"/dev/disk/by-id/virtio-{DISK.serial}"
_GROUP = "dumps"
_VOLUME = re.compile(rf"/dev/{_GROUP}/([a-z0-9]+)")
_THIN = "thin"

# Of the reference machine: a file system is made in two seconds, a thin pool in five.
_MAKE_SECONDS = 120.0

_VOLUME_SCRIPT = f"""
set -e
pvcreate --quiet "$1" > /dev/null
vgcreate --quiet {_GROUP} "$1" > /dev/null
if [ "$2" = {_THIN} ]; then
    lvcreate --quiet --thin --extents 90%FREE --virtualsize 1800M --name "$2" {_GROUP}/pool > /dev/null
else
    lvcreate --quiet --extents 90%FREE --name "$2" {_GROUP} > /dev/null
fi
"""
_MOUNT = """
set -e
mkdir -p "$2"
printf '%s %s %s defaults 0 0\\n' "$1" "$2" "$3" >> /etc/fstab
systemctl daemon-reload
mount "$2"
mkdir -p "$4"
sync
"""


@dataclass(frozen=True)
class Mount:
    """A partition, and where the guest's own table of file systems mounts it; dumps lie in ``folder``."""

    partition: Partition
    point: str
    folder: str


def require_known(partition: Partition) -> None:
    """Refuse a partition that the suite's disk cannot become.

    Raises:
        BadInput: says which can be.
    """
    if partition.by is By.DEVICE and partition.name != _DEVICE and not _VOLUME.fullmatch(partition.name):
        raise BadInput(
            f"guests have no device {partition.name}",
            way_out=f"UUID=…, LABEL=…, {_DEVICE}, or /dev/{_GROUP}/NAME for a volume of LVM, "
            f"which is a thin one if NAME is {_THIN}",
        )
    if not re.fullmatch(r"[\w./-]+", partition.name):
        raise BadInput(f"{partition.name!r} is no label and no UUID that /etc/fstab takes as it is")


def require_raw(raw: Raw) -> None:
    """Refuse a raw partition that is not the suite's disk.

    Raises:
        BadInput: says how that is called.
    """
    if raw.device != _DEVICE:
        raise BadInput(f"guests have no device {raw.device}", way_out=f"raw {_DEVICE}")


def prepare(guest: Guest, mount: Mount) -> None:
    """Make the file system, and let the guest mount it now and at every boot, the capture's too.

    Raises:
        LabError: a program for it is missing in the guest, or fails.
    """
    partition = mount.partition
    until = guest.deadline(_MAKE_SECONDS, f"{partition} is made")
    device = _DEVICE
    if volume := _VOLUME.fullmatch(partition.name):
        guest.shell.run("sh", "-c", _VOLUME_SCRIPT, "volume", _DEVICE, volume[1], until=until)
        device = partition.name
    guest.shell.run(f"mkfs.{partition.fstype}", *_named(partition), device, until=until)
    entry = (f"{partition.by}{partition.name}", mount.point, str(partition.fstype), mount.folder)
    guest.shell.run("sh", "-c", _MOUNT, "mount", *entry, until=until)


def _named(partition: Partition) -> tuple[str, ...]:
    quiet = () if partition.fstype is FileSystem.MINIX else ("-q",)
    if partition.by is By.LABEL:
        return (*quiet, "-L", partition.name)
    if partition.by is By.UUID:
        option = (
            ("-m", f"uuid={partition.name}")
            if partition.fstype is FileSystem.XFS
            else ("-U", partition.name)
        )
        return (*quiet, *option)
    return quiet
