"""A pytest plugin that fills the disk of the guest that is about to be crashed."""

from kdump_tests.guest.machine import Guest


def pytest_kdump_before_crash(guest: Guest) -> None:
    """As root, so into the file system's reserve too."""
    # dd ends when the disk is full, which is what it is for.
    until = guest.deadline(300, "the disk is filled")
    guest.shell.attempt("dd", "if=/dev/zero", "of=/var/crash/ballast", "bs=1M", until=until)
    guest.shell.run("sync", until=until)
