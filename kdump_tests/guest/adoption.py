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
# have one size. sshd lets the connection live by which this comes. A link's address is its card's, and
# that is another one: its driver finds it anew. (After `ip link set address`, NetworkManager would still
# go by the permanent one, and wait for that in the capture kernel.)
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
drivers=/sys/bus/virtio/drivers/virtio_net
for old; do
    for nic in /sys/class/net/*; do
        if [ "$(cat "$nic/address")" = "$old" ]; then
            device=$(basename "$(readlink -f "$nic/device")")
            echo "$device" > "$drivers/unbind"
            echo "$device" > "$drivers/bind"
        fi
    done
done
if [ $# -gt 0 ]; then udevadm settle; fi
"""


def adopt(guest: Guest, state: SavedState, login: Login, until: Deadline) -> None:
    """Enter a guest that was just restored by its old keys, and make it known by ``login``.

    Raises:
        GuestNotReached, GuestLost, DeadlineExpired: it does not answer.
        LabError: it does not take what it is given.
    """
    guest.shell.login = Login(login.address, login.port, state.guest_key, state.host_key)
    guest.shell.connect(until, guest.require_alive)
    old = [mac_address(state.name, link) for link in guest.spec.links]
    now = f"{time.time():.3f}"
    guest.shell.run("sh", "-c", _ADOPT, "adopt", now, secrets.token_hex(32), *old, until=until)
    guest.shell.login = login
