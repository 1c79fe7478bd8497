"""Hooks that the suite offers to conftest files and plugins."""

from kdump_tests.guest.machine import Guest
from kdump_tests.stacks.dump_server import DumpServer


def pytest_kdump_before_crash(guest: Guest, dump_server: DumpServer | None) -> None:
    """Called with the armed guest that is about to be crashed: bring it into the state to be tested.

    For a load, a full disk, a hook script: whatever the next panic shall meet. ``dump_server`` is where its
    dump will be sent to, None when it stays on the guest.
    """
