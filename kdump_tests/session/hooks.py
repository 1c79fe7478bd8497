"""Hooks that the suite offers to conftest files and plugins."""

from kdump_tests.guest.machine import Guest


def pytest_kdump_before_crash(guest: Guest) -> None:
    """Called with the armed guest that is about to be crashed: bring it into the state to be tested.

    For a load, a full disk, a hook script: whatever the next panic shall meet.
    """
