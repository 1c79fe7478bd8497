"""A pytest plugin that leaves older dumps where the guest keeps its own."""

from kdump_tests.guest.machine import Guest

_MAKE = """
set -e
for day in 202001010000 202002020000 202003030000; do
    mkdir "/var/crash/$day"
    echo "an older one" > "/var/crash/$day/dump.$day"
done
sync
"""


def pytest_kdump_before_crash(guest: Guest) -> None:
    """As kdump-tools names them."""
    guest.shell.run("sh", "-e", "-c", _MAKE, until=guest.deadline(60, "older dumps are there"))
