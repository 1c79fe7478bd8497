"""What is planted in a guest before it crashes, so that the dump of that very crash is known by it."""

import re
import secrets
from dataclasses import dataclass

from kdump_tests.errors import LabError
from kdump_tests.guest.machine import Guest

# Also on disk, before the power is as good as cut: the keys by which the guest is entered again.
# printk() stores the line at once, and dmesg(1) reads it there with the time that it was given.
_TELL_THE_LOG = 'echo "$1" > /dev/kmsg; sync; dmesg | grep -F -e "$1"'
_STAMP = re.compile(r"^\[ *([0-9]{1,9}\.[0-9]{6})\]")
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

    ``holder`` is the process, which lives until the panic. ``logged_at`` is the time that the log gave to
    the line, in seconds since the boot by its own clock: no other one of the machine goes like it for long.
    """

    nonce: str
    pattern: bytes
    holder: int
    logged_at: float


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
    line = guest.shell.run("sh", "-e", "-c", _TELL_THE_LOG, "nonce", nonce, until=until)
    stamp = _STAMP.match(line)
    if stamp is None:
        raise LabError("the guest's kernel log gives no time to its lines", said=line[:200])
    return Planted(nonce, "".join(halves).encode(), int(holder), float(stamp[1]))
