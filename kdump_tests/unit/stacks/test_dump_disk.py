"""A disk for dumps is made as kdump.conf names it."""

from typing import Any
from unittest.mock import Mock

import pytest

from kdump_tests.stacks.dump_disk import Mount, prepare
from kdump_tests.stacks.dump_target import By, FileSystem, Partition

UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
DEVICE = "/dev/disk/by-id/virtio-dumps"


@pytest.mark.parametrize(
    ("partition", "made", "entry"),
    [
        (Partition(FileSystem.EXT4, DEVICE), ("mkfs.ext4", "-q", DEVICE), DEVICE),
        (Partition(FileSystem.EXT4, UUID, By.UUID), ("mkfs.ext4", "-q", "-U", UUID, DEVICE), f"UUID={UUID}"),
        (Partition(FileSystem.XFS, UUID, By.UUID),
         ("mkfs.xfs", "-q", "-m", f"uuid={UUID}", DEVICE), f"UUID={UUID}"),
        (Partition(FileSystem.BTRFS, "dumps", By.LABEL),
         ("mkfs.btrfs", "-q", "-L", "dumps", DEVICE), "LABEL=dumps"),
        (Partition(FileSystem.EXT4, "/dev/dumps/thin"),
         ("mkfs.ext4", "-q", "/dev/dumps/thin"), "/dev/dumps/thin"),
    ],
)  # fmt: skip
def test_file_system_is_made_and_mounted_as_it_is_named(
    partition: Partition, made: tuple[str, ...], entry: str
) -> None:
    guest: Any = Mock()
    prepare(guest, Mount(partition, "/mnt/kdump", "/mnt/kdump/dumps"))
    *volume, told, mounted = [call.args for call in guest.shell.run.call_args_list]
    assert told == made
    assert mounted[4:] == (entry, "/mnt/kdump", partition.fstype, "/mnt/kdump/dumps")
    assert [words[4:] for words in volume] == ([(DEVICE, "thin")] if "thin" in partition.name else [])
