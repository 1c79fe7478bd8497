"""The machine that dumps are sent to: a second guest, on a private link of the two and nothing else.

It gives the other guest its address (DHCP), takes the key that the stack propagates, and is known by name.
Whatever the guest under test is, the server is the same.
"""

from dataclasses import dataclass, replace

from kdump_tests.deadline import wait_until
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.domain import pci_address
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Output
from kdump_tests.guest.spec import GuestSpec, Link
from kdump_tests.sizes import MIB
from kdump_tests.stacks.stack import Stack
from kdump_tests.stacks.topology import Remote, Topology

NAME = "dump-server"
LINK = Link("dumps")
IMAGE = "debian-12"
_SPEC = GuestSpec(
    image=IMAGE,
    memory=512 * MIB,
    crashkernel=None,
    kernel_arguments=("systemd.mask=kdump-tools.service",),
    links=(LINK,),
)
# RFC 5737: nobody's. Each pair has a link of its own, so all of them may have the same.
_ADDRESS = "192.0.2.1"
_NETWORK = "192.0.2.0/24"

# Of the reference machine: a lease is had in a second, a service starts in five, and ssh-copy-id, which
# logs in several times, takes ten.
_LEASE_SECONDS = 60.0
_KEY_SECONDS = 180.0
_SERVE_SECONDS = 120.0

# The device's name is the guest's own matter, its place on the bus is the laboratory's.
_NIC = 'nic=$(ls "/sys/bus/pci/devices/$1/"virtio*/net)'

_LISTEN = f"""
set -e
{_NIC}
cat > /etc/systemd/network/50-dumps.network <<end
[Match]
Name=$nic

[Network]
Address=$2/24
DHCPServer=yes
LinkLocalAddressing=no

[DHCPServer]
EmitDNS=no
EmitNTP=no
EmitRouter=no
end
networkctl reload
"""

# Images of ours mask what waits for the network: a capture that stays at home would wait in vain. (Not by
# `systemctl unmask`, which has the manager read everything again, for seconds: only the next boot matters.)
# NetworkManager takes no notice of a link that was gone for a moment, and asks for an address more and more
# seldom. There is no DNS on the link, and an initramfs that dracut made has no /etc/hosts of its own accord.
_JOIN = f"""
set -e
{_NIC}
printf '%s %s\\n' "$2" "$3" >> /etc/hosts
unit=/etc/systemd/system/systemd-networkd-wait-online.service
if [ "$(readlink "$unit")" = /dev/null ]; then rm "$unit"; fi
if [ -d /etc/dracut.conf.d ]; then
    echo 'install_items+=" /etc/hosts "' > /etc/dracut.conf.d/dump-server.conf
fi
ip link set dev "$nic" down
ip link set dev "$nic" up
if command -v nmcli > /dev/null; then nmcli --wait 0 device connect "$nic"; fi
"""
_ADDRESSES = f"""
{_NIC}
ip -oneline -4 address show dev "$nic" to "$2"
"""

# '*' is no password at all; with '!', which useradd takes, sshd calls the account locked.
_FOLDER = """
set -e
id "$1" > /dev/null 2>&1 || useradd --create-home --shell /bin/sh --password '*' "$1"
mkdir -p "$2"
chown "$1:" "$2"
"""
_TRUST = """
set -e
umask 077
mkdir -p ~/.ssh "${2%/*}"
echo "$1" >> ~/.ssh/known_hosts
[ -e "$2" ] || ssh-keygen -q -t ed25519 -N '' -f "$2"
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cat ~/.ssh/id_ed25519.pub
"""
_FORGET = "rm ~/.ssh/id_ed25519 ~/.ssh/id_ed25519.pub; sync"
_ADMIT = """
set -e
umask 077
home=$(getent passwd "$1" | cut -d : -f 6)
mkdir -p "$home/.ssh"
printf '%s\\n' "$2" >> "$home/.ssh/authorized_keys"
chown -R "$1:" "$home/.ssh"
"""

# Nobody was here before, so there is nothing to be reclaimed: the time for it would be spent waiting.
_EXPORT = """
set -e
printf '"%s" *(rw,sync,no_root_squash,no_subtree_check)\\n' "$1" > /etc/exports
mkdir -p /etc/nfs.conf.d
cat > /etc/nfs.conf.d/dumps.conf <<end
[nfsd]
lease-time=10
grace-time=10
vers3=$2
vers4=$3
end
systemctl start nfs-server.service
"""
_UPLOADS = """
set -e
printf '%s:%s\\n' "$1" "$2" | chpasswd
cat > /etc/vsftpd.conf <<end
listen=YES
anonymous_enable=NO
local_enable=YES
write_enable=YES
pam_service_name=vsftpd
end
systemctl start vsftpd.service
"""


def require_known(remote: Remote) -> None:
    """Refuse a machine that is not ours, or what ours could not take.

    Raises:
        BadInput: says which.
    """
    if remote.host != NAME:
        raise BadInput(
            f"{remote} is a machine that guests do not reach",
            reason="they are on no network but a link of their own",
            way_out=f"a host called {NAME}: a second guest that the suite starts for it",
        )
    if remote.user.startswith("-") or not remote.user.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"{remote.user!r} is no user's name", way_out="letters, digits, - and _")


def spec_for(guest: GuestSpec) -> GuestSpec:
    """The dump server of a guest."""
    return replace(_SPEC, purpose=f"for-{guest.name}")


def listens(guest: Guest) -> bool:
    """Whether a machine that just booted now answers on the link: it does, or an error says why not."""
    pci = pci_address(guest.spec, LINK)
    guest.shell.run("sh", "-c", _LISTEN, "listen", pci, _ADDRESS, until=guest.command_deadline())
    return True


@dataclass(frozen=True)
class DumpServer:
    """A machine that takes the dumps of another one, as that one's stack is told to send them.

    ``sender`` is what the other machine must be called in what arrives. ``let_in`` is how the machine was
    entered before any crash, as the capture will enter it.
    """

    guest: Guest
    remote: Remote
    sender: str
    let_in: Output


def serve(guest: Guest, client: Guest, stack: Stack, host_key: KeyPair, nfs_version: int) -> DumpServer:
    """Make a machine that listens the dump server of another one.

    Raises:
        LabError: one of the two does not do its part.
        NotArmed: the stack could not bring its key here.
    """
    assert stack.remote
    remote = stack.remote
    until = guest.deadline(_SERVE_SECONDS, "the dump server serves")
    guest.shell.run("sh", "-c", _FOLDER, "folder", remote.user, remote.folder, until=until)
    if remote.topology is Topology.NFS_DUMP:
        versions = ("y", "n") if nfs_version == 3 else ("n", "y")
        guest.shell.run(
            "sh", "-c", _EXPORT, "export", remote.export or remote.folder, *versions, until=until
        )
    if remote.topology is Topology.FTP_DUMP:
        guest.shell.run("sh", "-c", _UPLOADS, "uploads", remote.user, remote.password, until=until)
    address = _join(client)
    if remote.topology is Topology.SSH_DUMP:
        _exchange_keys(guest, client, stack, remote, host_key)
    return DumpServer(
        guest=guest,
        remote=remote,
        sender=client.read("/proc/sys/kernel/hostname").strip() if remote.by_hostname else address,
        let_in=stack.try_remote(client.shell, client.deadline(_LEASE_SECONDS, f"{remote} is tried")),
    )


def _join(client: Guest) -> str:
    """Bring a machine to the link; its address there."""
    pci = pci_address(client.spec, LINK)
    client.shell.run("sh", "-c", _JOIN, "join", pci, _ADDRESS, NAME, until=client.command_deadline())
    until = client.deadline(_LEASE_SECONDS, "the dump server gives it an address")

    def address() -> str:
        told = client.shell.run("sh", "-c", _ADDRESSES, "addresses", pci, _NETWORK, until=until).split()
        if "inet" not in told[:-1]:
            raise LabError(f"{client.name} has no address on the link to its dump server")
        return told[told.index("inet") + 1].partition("/")[0]

    return wait_until(address, until, retry_on=LabError, pause=0.2)


def _exchange_keys(guest: Guest, client: Guest, stack: Stack, remote: Remote, host_key: KeyPair) -> None:
    """Let the stack bring its key as an administrator does, who can log in anyhow: here by a second key."""
    until = client.deadline(_KEY_SECONDS, "its key is propagated")
    known = f"{NAME} {host_key.public}"
    administrator = client.shell.run("sh", "-c", _TRUST, "trust", known, remote.key, until=until).strip()
    guest.shell.run("sh", "-c", _ADMIT, "admit", remote.user, administrator, until=until)
    stack.propagate(client.shell, until)
    client.shell.run("sh", "-c", _FORGET, until=until)
