"""Which machines a dump needs beside the one that crashes, and what is known of them beforehand."""

from dataclasses import dataclass
from enum import StrEnum


class Topology(StrEnum):
    """Where dumps are kept, and so which guests there are. A test names those that it is for."""

    LOCAL_DUMP = "dumps on the guest's own disk"
    DISK_DUMP = "dumps on a disk of their own"
    SSH_DUMP = "dumps sent over SSH"
    NFS_DUMP = "dumps saved over NFS"
    FTP_DUMP = "dumps sent over FTP"


@dataclass(frozen=True)
class Remote:
    """Another machine, as a stack is told of it.

    ``folder`` is one of that machine, at or below what it exports (``export``, where that is not the folder
    itself); ``key`` the private key's path on the machine that sends; ``password`` is there where the
    protocol has no keys. ``by_hostname``: what arrives bears the sender's host name,
    instead of its address.
    """

    topology: Topology
    host: str
    folder: str
    user: str = "root"
    key: str = ""
    password: str = ""
    export: str = ""
    by_hostname: bool = False

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.folder}"
