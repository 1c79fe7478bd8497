"""A pytest plugin that fills the disk of the guest that is about to be crashed."""

from kdump_tests.guest.machine import Guest

# Nearly all of it at once, the rest until nothing fits. (ext4 keeps 4096 clusters back even from root and
# calls them free: s_resv_clusters. So not a number but a write that fails tells that the disk is full.)
_FILL = """
set -e
cd /var/crash
free=$(($(stat --file-system --format=%f .) * $(stat --file-system --format=%S .)))
fallocate --length $((free - 32 * 1024 * 1024)) ballast
dd if=/dev/zero of=rest bs=64k 2>&1 | grep 'No space left on device'
sync
"""


def pytest_kdump_before_crash(guest: Guest) -> None:
    """Fill it, and make sure that it is full."""
    guest.shell.run("sh", "-c", _FILL, until=guest.deadline(300, "the disk is filled"))
