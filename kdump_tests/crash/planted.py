"""What is planted in a guest before it crashes, so that the dump of that very crash is known by it."""

import secrets
from dataclasses import dataclass

from kdump_tests.errors import LabError
from kdump_tests.guest.machine import Guest

# Also on disk, before the power is as good as cut: the keys by which the guest is entered again.
_TELL_THE_LOG = 'echo "$1" > /dev/kmsg; sync'
# In one piece the pattern is in this shell's memory alone: its halves come one after the other, over SSH,
# sshd and a pipe. Several times, as memory that goes on in the next page goes on anywhere in the dump.
KEEP_IN_MEMORY = """
read -r one; read -r other
kept=$one$other$one$other$one$other
{ while :; do sleep 3600; done; } < /dev/null > /dev/null 2>&1 &
echo $!
"""


@dataclass(frozen=True)
class Planted:
    """What no other dump holds: a line in the kernel's log, and bytes in the memory of a process.

    ``holder`` is the process, which lives until the panic. ``uptime`` is the guest's when the line was
    written, in seconds.
    """

    nonce: str
    pattern: bytes
    holder: int
    uptime: float


def plant(guest: Guest) -> Planted:
    """Leave both in the guest.

    Raises:
        LabError: it did not take them.
    """
    nonce = f"kdump-verify nonce {secrets.token_hex(16)}"
    until = guest.command_deadline()
    halves = secrets.token_hex(16), secrets.token_hex(16)
    with guest.shell.running("sh", "-e", "-c", KEEP_IN_MEMORY, until=until) as process:
        process.channel.sendall("".join(f"{half}\n" for half in halves).encode())
        holder = process.read(process.channel.recv, until).decode(errors="replace").strip()
    if not (holder.isdecimal() and holder.isascii()):
        raise LabError("the guest keeps no pattern in memory", said=holder[:200])
    uptime = float(guest.read("/proc/uptime").split()[0])
    guest.shell.run("sh", "-e", "-c", _TELL_THE_LOG, "nonce", nonce, until=until)
    return Planted(nonce, "".join(halves).encode(), int(holder), uptime)
