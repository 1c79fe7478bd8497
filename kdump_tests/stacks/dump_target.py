"""Where a dump goes to: the lines of /etc/kdump.conf that name a target.

Forms: kdump.conf.5 and gen-kdump-conf.sh of kdump-utils 63f248c; verdicts: its kdumpctl and mkdumprd.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from kdump_tests.stacks.kdump_line import Line

# What dracut takes and get_dracut_args_target() and get_dracut_args_fstype() of kdump-lib-initramfs.sh, too.
_MOUNT = re.compile(r"""(?:^|(?<=[ \t]))--mount (["'])([^"']*)\1(?=[ \t]|$)""")
_NFS = re.compile(r"(\[[^\]\s]+\]|[^\s:/\[\]]+):(/\S*)")
# What `ssh -G` gives back unchanged, apart from brackets; it turns capitals into small letters.
_HOST = re.compile(r"[0-9a-z._:%-]+")


class FileSystem(StrEnum):
    """The file systems that can be named with a partition."""

    EXT2 = "ext2"
    EXT3 = "ext3"
    EXT4 = "ext4"
    XFS = "xfs"
    BTRFS = "btrfs"
    MINIX = "minix"


class By(StrEnum):
    """What a partition is known by."""

    DEVICE = ""
    UUID = "UUID="
    LABEL = "LABEL="


@dataclass(frozen=True)
class RootDisk:
    """None is named: ``path`` is one of the running system, on whatever is mounted there."""


@dataclass(frozen=True)
class Partition:
    """A file system; ``path`` is below it."""

    fstype: FileSystem
    name: str
    by: By = By.DEVICE

    def __str__(self) -> str:
        return f"{self.fstype} {self.by}{self.name}"


@dataclass(frozen=True)
class Nfs:
    """An export; ``path`` is below it. An IPv6 address stands in brackets."""

    server: str
    export: str

    def __str__(self) -> str:
        return f"nfs {self.server}:{self.export}"


@dataclass(frozen=True)
class Ssh:
    """A login; ``path`` is one of that host. An IPv6 address stands without brackets."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.host}"


@dataclass(frozen=True)
class Raw:
    """A partition without a file system. What is found there on the next start goes to ``path``."""

    device: str

    def __str__(self) -> str:
        return f"raw {self.device}"


@dataclass(frozen=True)
class Virtiofs:
    """A folder that the hypervisor shares; ``path`` is below it."""

    tag: str

    def __str__(self) -> str:
        return f"virtiofs {self.tag}"


@dataclass(frozen=True)
class DracutMount:
    """What ``dracut_args`` mounts. It is taken as it is: nobody checks that it is there."""

    device: str
    mount_point: str
    fstype: str
    options: str = ""

    def __str__(self) -> str:
        fields = filter(None, (self.device, self.mount_point, self.fstype, self.options))
        return f'--mount "{" ".join(fields)}"'


Target: TypeAlias = RootDisk | Partition | Nfs | Ssh | Raw | Virtiofs | DracutMount

NAMES = frozenset({*FileSystem, "nfs", "ssh", "raw", "virtiofs"})
"""The options that name a target, apart from dracut_args."""


def parse_target(line: Line) -> Target:
    """The target that a line of its own names."""
    match line.name:
        case "ssh":
            return _ssh(line)
        case "nfs":
            return _nfs(line)
        case "raw":
            return _raw(line)
        case "virtiofs":
            return Virtiofs(line.value)
        case _:
            return _partition(line)


def split_mount(line: Line) -> tuple[DracutMount | None, str]:
    """What ``dracut_args`` mounts, if anything, and the other arguments."""
    if (count := line.value.count("--mount")) == 0:
        return None, line.value
    at = line.at + line.value.index("--mount")
    if count > 1:
        line.refuse("only one --mount may stand here", _TWO_MOUNTS, at)
    read = re.search("--mount .(.*)", line.value)
    for number, option in ((3, "_fstype"), (1, "_target")):
        if not _cut(read[1] if read else "", number):
            line.refuse(_MOUNT_FORM, _no_value(option), at)
    found = _MOUNT.search(line.value)
    fields = found[2].split(" ", 3) if found else []
    if found is None or not all(fields) or len(fields) < 3:
        line.refuse(_MOUNT_FORM, "nothing; it reads other words than dracut", at)
    others = (line.value[: found.start()].rstrip(" \t"), line.value[found.end() :].lstrip(" \t"))
    return DracutMount(*fields), " ".join(filter(None, others))


def _cut(text: str, number: int) -> str:
    """As `cut -d' ' -f`, which gives all of a line without a blank."""
    fields = text.split(" ")
    return text if len(fields) == 1 else "".join(fields[number - 1 : number])


def _partition(line: Line) -> Partition:
    # Quotes around what follows UUID= are common, and dropped (to_dev_name() in kdump-lib.sh).
    spec = line.value.replace('"', "")
    for by in (By.UUID, By.LABEL):
        if spec.startswith(by) and spec != by:
            return Partition(FileSystem(line.name), spec.removeprefix(by), by)
    if not spec.startswith("/"):
        line.refuse("a partition is a path, UUID=… or LABEL=…", _not_mounted(line.value))
    return Partition(FileSystem(line.name), spec)


def _nfs(line: Line) -> Nfs:
    found = _NFS.fullmatch(line.value)
    if found is None:
        hint = " Please make sure nfs-utils has been installed, and nfs server is accessible."
        line.refuse("an NFS target is SERVER:/PATH", _not_mounted(line.value) + hint)
    return Nfs(found[1], found[2])


def _ssh(line: Line) -> Ssh:
    user, at_sign, host = line.value.partition("@")
    if not at_sign:
        line.refuse("an SSH target is USER@HOST", _NO_LOGIN)
    host_at = line.at + len(user) + 1
    if not host:
        says = (
            f"Could not create {line.value}:…, ipaddr is not ready yet. You should check network connection"
        )
        line.refuse("a host follows the @", says, host_at)
    if host.startswith("["):
        line.refuse(
            "an IPv6 address stands without brackets", "nothing; ssh looks up the brackets too", host_at
        )
    if re.fullmatch(r"\S+", user) is None or _HOST.fullmatch(host) is None:
        # check_ssh_config(): the host has to be what `ssh -G` makes of it.
        says = f"Invalid ssh destination {line.value} provided."
        at = host_at if _HOST.fullmatch(host) is None else line.at
        line.refuse("an SSH target is USER@HOST, the host in small letters", says, at)
    return Ssh(user, host)


def _raw(line: Line) -> Raw:
    if not line.value.startswith("/"):
        line.refuse("a raw target is the path of a device", f"Bad raw disk {line.value}")
    return Raw(line.value)


_NO_LOGIN = (
    "Please verify that /etc/kdump.conf contains 'ssh <user>@<host>' and that it is properly formatted."
)
_MOUNT_FORM = 'a mount is written --mount "DEVICE MOUNTPOINT FSTYPE [OPTIONS]", one blank apart'
_TWO_MOUNTS = 'Multiple mount targets specified in one "dracut_args".'


def _no_value(option: str) -> str:
    return f"Invalid kdump config value for option '{option}'"


def _not_mounted(what: str) -> str:
    return f"Failed to mount {what} for kdump preflight check."
