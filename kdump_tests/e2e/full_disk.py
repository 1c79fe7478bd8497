"""A pytest plugin that fills the disk of the guest that is about to be crashed."""

from kdump_tests.guest.machine import Guest

# As root, so into the file system's reserve too: nearly all of it at once, the rest until nothing fits.
_FILL = """
cd /var/crash
free=$(($(stat --file-system --format=%f .) * $(stat --file-system --format=%S .)))
fallocate --length $((free - 16 * 1024 * 1024)) ballast
dd if=/dev/zero of=rest bs=64k
sync
"""


def pytest_kdump_before_crash(guest: Guest) -> None:
    """Fill it, and make sure that it is full."""
    until = guest.deadline(300, "the disk is filled")
    guest.shell.run("sh", "-c", _FILL, until=until)
    left = guest.shell.run("stat", "--file-system", "--format=%f", "/var/crash", until=until)
    assert int(left) < 64, left
