"""Making a restored guest this run's own: its clock, its keys, its randomness, its addresses.

What was frozen wakes up with the time, the keys and the random pool of the guest that was saved, and so
would every other fork.
"""

import secrets
import time

from kdump_tests.deadline import Deadline
from kdump_tests.guest.domain import mac_address
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.saved_state import SavedState
from kdump_tests.guest.shell import Login

# QEMU is a new one with this run's keys in its fw_cfg; only sizes were read before, and keys of one kind
# have one size. sshd lets the connection live by which this comes.
_ADOPT = """
set -e
umask 077
date --utc --set="@$1" > /dev/null
echo "$2" > /dev/urandom
given=/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials
cat "$given/ssh.authorized_keys.root/raw" > /root/.ssh/authorized_keys
cat "$given/guest.ssh-host-key/raw" > /etc/ssh/ssh_host_ed25519_key
kill -HUP "$(cat /run/sshd.pid)"
shift 2
while [ $# -gt 1 ]; do
    for nic in /sys/class/net/*; do
        if [ "$(cat "$nic/address")" = "$1" ]; then ip link set dev "${nic##*/}" address "$2"; fi
    done
    shift 2
done
"""


def adopt(guest: Guest, state: SavedState, name: str, login: Login, until: Deadline) -> None:
    """Enter a guest that was just restored by its old keys, and make it known by ``name`` and ``login``.

    Raises:
        GuestNotReached, GuestLost, DeadlineExpired: it does not answer.
        LabError: it does not take what it is given.
    """
    guest.shell.login = Login(login.address, login.port, state.guest_key, state.host_key)
    guest.shell.connect(until, guest.require_alive)
    addresses = [
        mac_address(of, link) for link in guest.spec.links for of in (state.name, name)
    ]  # old and new in turn
    now = f"{time.time():.3f}"
    guest.shell.run("sh", "-c", _ADOPT, "adopt", now, secrets.token_hex(32), *addresses, until=until)
    guest.shell.login = login
