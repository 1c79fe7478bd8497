"""A pytest plugin that makes the dump server unwilling, once the guest was let in and before it is crashed.

$KDUMP_VERIFY_UNWILLING says how.
"""

import os

from kdump_tests.guest.machine import Guest
from kdump_tests.stacks.dump_server import DumpServer

_ANOTHER_KEY = """
set -e
rm -f "$1" "$1.pub"
ssh-keygen -q -t ed25519 -N '' -f "$1"
sync
"""
_PASSWORDS_ONLY = """
set -e
printf 'Match User %s\\nAuthenticationMethods password\\nPasswordAuthentication yes\\n' "$1" \
    >> /etc/ssh/sshd_config
kill -HUP "$(cat /run/sshd.pid)"
"""
# Our own connection to it stays: a session is not asked again.
_ANOTHER_HOST_KEY = """
set -e
rm -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
kill -HUP "$(cat /run/sshd.pid)"
"""
_GONE = 'ip link set dev "$(ip -oneline -4 address show to 192.0.2.1 | cut -d " " -f 2)" down'


def pytest_kdump_before_crash(guest: Guest, dump_server: DumpServer) -> None:
    """Make it so."""
    remote = dump_server.remote
    until = guest.deadline(120, "the dump server becomes unwilling")
    match os.environ["KDUMP_VERIFY_UNWILLING"]:
        case "another-key":
            guest.shell.run("sh", "-c", _ANOTHER_KEY, "key", remote.key, until=until)
        case "passwords-only":
            dump_server.guest.shell.run("sh", "-c", _PASSWORDS_ONLY, "only", remote.user, until=until)
        case "another-host-key":
            dump_server.guest.shell.run("sh", "-c", _ANOTHER_HOST_KEY, until=until)
        case "gone":
            dump_server.guest.shell.run("sh", "-c", _GONE, until=until)
        case other:
            raise AssertionError(other)
