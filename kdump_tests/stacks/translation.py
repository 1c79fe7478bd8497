"""A KdumpConfig as the settings of a stack with a language of its own, and what that cannot say.

A setting is there for everything that kdump.conf could say, empty where it says nothing: all stacks read
that as their default, so one configuration leaves nothing of another.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from kdump_tests.stacks.core_collector import Command, Compression, Makedumpfile
from kdump_tests.stacks.dump_disk import Mount
from kdump_tests.stacks.dump_target import DracutMount, Nfs, Partition, Raw, RootDisk, Ssh, Virtiofs
from kdump_tests.stacks.kdump_conf import OPTIONS, FailureAction, FinalAction, KdumpConfig


@dataclass(frozen=True)
class Untranslated:
    """An option of kdump.conf that a stack cannot do, and why."""

    option: str
    reason: str

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


@dataclass(frozen=True)
class Translation:
    """Settings by name. With anything untranslated they do not do what the configuration says.

    ``mount`` is what /etc/fstab has to say for them, where the stack saves below a path alone.
    """

    settings: Mapping[str, str]
    untranslated: tuple[Untranslated, ...]
    mount: Mount | None = None


# kdump-tools boots the ordinary system to save a dump, so its table of file systems is in force.
MOUNT_POINT = "/mnt/kdump"

# Settings, and what is left over.
_Part: TypeAlias = tuple[dict[str, str], list[Untranslated]]


def to_el(config: KdumpConfig) -> Translation:
    """/etc/kdump.conf itself: an option that is not there is left to its default."""
    settings = dict.fromkeys(sorted(OPTIONS - {"default"}), "") | config.options()
    # The capture mounts the partition by itself, but mkdumprd wants to find the path on it.
    return Translation(MappingProxyType(settings), (), _mount(config))


def to_debian(config: KdumpConfig) -> Translation:
    """/etc/default/kdump-tools. Read in kdump-config and its init script of 1.8.1 and 1.10.9."""
    settings = dict.fromkeys(("KDUMP_COREDIR", "SSH", "SSH_KEY", "NFS", "FTP"), "")
    mount = _mount(config)
    parts = (_debian_target(config, mount), _debian_collector(config), _debian_failure(config))
    others = (_without_hooks(config), _never(config, "kdump-tools"), _resets(config))
    return replace(_joined(settings, parts, *others), mount=mount)


def to_suse(config: KdumpConfig) -> Translation:
    """/etc/sysconfig/kdump. Read in kdump-save, module-setup.sh and kdump(5) of openSUSE/kdump 34da4b8.

    The hooks differ: kdump-save goes on when KDUMP_PRESCRIPT fails, and KDUMP_POSTSCRIPT is not told whether
    a dump was saved.
    """
    parts = (_suse_target(config), _suse_collector(config), _suse_actions(config), _suse_hooks(config))
    return _joined({}, parts, _never(config, "kdump"))


def _joined(settings: dict[str, str], parts: tuple[_Part, ...], *others: list[Untranslated]) -> Translation:
    for known, _ in parts:
        settings |= known
    leftovers = [*(left for _, left in parts), *others]
    return Translation(MappingProxyType(settings), tuple(each for left in leftovers for each in left))


def _mount(config: KdumpConfig) -> Mount | None:
    if not isinstance(config.target, Partition):
        return None
    return Mount(config.target, MOUNT_POINT, f"{MOUNT_POINT}/{config.path.strip('/')}".rstrip("/"))


def _debian_target(config: KdumpConfig, mount: Mount | None) -> _Part:
    key = {"SSH_KEY": config.sshkey or ""}
    if mount:
        return {"KDUMP_COREDIR": mount.folder, **key}, []
    relative = Untranslated("path", "KDUMP_COREDIR is a full path")
    match config.target:
        case RootDisk():
            return {"KDUMP_COREDIR": config.path, **key}, []
        case Nfs(server=server) as nfs:
            # Mounted on KDUMP_COREDIR; the dumps lie at the top of what is mounted.
            return {"NFS": f"{server}:{_below(nfs, config.path)}", **key}, []
        case Ssh(user=user, host=host) if ":" not in host:
            settings = {"SSH": f"{user}@{host}", "KDUMP_COREDIR": config.path, **key}
            return settings, [] if config.path.startswith("/") else [relative]
        case Ssh():
            return key, [Untranslated("ssh", "kdump-config calls scp with HOST:PATH, which ends at a colon")]
        case other:
            return key, [_unmounted(other)]


def _debian_collector(config: KdumpConfig) -> _Part:
    match config.core_collector:
        case None:
            return {"MAKEDUMP_ARGS": ""}, []
        case Makedumpfile() as collector:
            # kdump-config adds -F. Without any option it would take its own: 0 is what none means.
            options = [option for option in collector.options if option != "-F"] or ["-d 0"]
            return {"MAKEDUMP_ARGS": " ".join(options)}, []
        case Command(program=program):
            why = f"kdump-config runs makedumpfile, not {program}"
            return {"MAKEDUMP_ARGS": ""}, [Untranslated("core_collector", why)]


_COMMANDS = {
    FailureAction.REBOOT: "reboot -f",
    FailureAction.HALT: "halt -f",
    FailureAction.POWEROFF: "poweroff -f",
}


def _debian_failure(config: KdumpConfig) -> _Part:
    action = config.failure_action
    if action is None or (isinstance(config.target, Ssh) and action is FailureAction.REBOOT):
        return {"KDUMP_FAIL_CMD": ""}, []
    if isinstance(config.target, Ssh):
        # `kdump-config savecore` ends with an `if` that is false then, so its status is 0.
        why = "kdump-config says of every dump over SSH that it was saved"
    elif command := _COMMANDS.get(action):
        return {"KDUMP_FAIL_CMD": command}, []
    elif action is FailureAction.SHELL:
        # It runs in kdump-tools-dump.service, whose standard input is none.
        why = "a shell of KDUMP_FAIL_CMD has no terminal"
    else:
        why = "kdump-config saves to one place"
    return {"KDUMP_FAIL_CMD": ""}, [Untranslated("failure_action", why)]


def _without_hooks(config: KdumpConfig) -> list[Untranslated]:
    no_hooks = "kdump-tools runs nothing before or after a dump"
    final = "kdump-tools always reboots after a dump"
    reasons = {
        "kdump_pre": no_hooks if config.kdump_pre else None,
        "kdump_post": no_hooks if config.kdump_post else None,
        "extra_bins": no_hooks if config.extra_bins else None,
        "final_action": final if _other_than_reboot(config) else None,
    }
    return _all(reasons)


def _resets(config: KdumpConfig) -> list[Untranslated]:
    why = "kdump-tools leaves crashkernel= as it is"
    return _all({"auto_reset_crashkernel": why if config.auto_reset_crashkernel else None})


def _suse_target(config: KdumpConfig) -> _Part:
    # Relative to /root/.ssh, so a full path is taken as it is.
    key = {"KDUMP_SSH_IDENTITY": config.sshkey or ""}
    colon = "the host of a URL in KDUMP_SAVEDIR ends at a colon"
    match config.target:
        case RootDisk():
            return {"KDUMP_SAVEDIR": config.path, **key}, []
        case Nfs(server=server) | Ssh(host=server) if ":" in server:
            name = "nfs" if isinstance(config.target, Nfs) else "ssh"
            return {"KDUMP_SAVEDIR": "", **key}, [Untranslated(name, colon)]
        case Nfs(server=server) as nfs:
            return {"KDUMP_SAVEDIR": f"nfs://{server}{_below(nfs, config.path)}", **key}, []
        case Ssh(user=user, host=host) if not set(":/") & set(user):
            relative = Untranslated("path", "the path of a URL in KDUMP_SAVEDIR begins with /")
            url = f"ssh://{user}@{host}/{config.path.lstrip('/')}"
            return {"KDUMP_SAVEDIR": url, **key}, [] if config.path.startswith("/") else [relative]
        case Ssh():
            return {"KDUMP_SAVEDIR": "", **key}, [
                Untranslated("ssh", "the user of a URL ends at a colon or a slash")
            ]
        case other:
            return {"KDUMP_SAVEDIR": "", **key}, [_unmounted(other)]


_FORMATS = {
    Compression.ZLIB: "compressed",
    Compression.LZO: "lzo",
    Compression.SNAPPY: "snappy",
    Compression.ZSTD: "zstd",
}


def _suse_collector(config: KdumpConfig) -> _Part:
    settings = dict.fromkeys(("KDUMP_DUMPLEVEL", "KDUMP_DUMPFORMAT", "MAKEDUMPFILE_OPTIONS"), "")
    match config.core_collector:
        case None:
            return settings, []
        case Command(program="cp" | "cat" | "scp", arguments=()):
            return settings | {"KDUMP_DUMPFORMAT": "raw"}, []
        case Command() as command:
            return settings, [Untranslated("core_collector", f"KDUMP_DUMPFORMAT has nothing like {command}")]
        case Makedumpfile(compression=None, elf=False):
            why = "every KDUMP_DUMPFORMAT of makedumpfile's but ELF compresses"
            return settings, [Untranslated("core_collector", why)]
        case Makedumpfile() as collector:
            known = {"KDUMP_DUMPLEVEL": str(collector.levels[0] if collector.levels else 0)}
            known["KDUMP_DUMPFORMAT"] = _FORMATS[collector.compression] if collector.compression else "ELF"
            return settings | known | {"MAKEDUMPFILE_OPTIONS": _further(collector)}, []


def _further(collector: Makedumpfile) -> str:
    # They stand behind those that kdump-save gives by itself, and the last counts. A shell reads them.
    own = {"-F", "-E", *Compression} | (
        {f"-d {collector.levels[0]}"} if len(collector.levels) == 1 else set()
    )
    words = [word for option in collector.options if option not in own for word in option.split(" ")]
    return shlex.join(words)


def _suse_actions(config: KdumpConfig) -> _Part:
    goes_on = {FailureAction.REBOOT: "true", FailureAction.SHELL: "false"}
    settings = {"KDUMP_CONTINUE_ON_ERROR": "", "KDUMP_IMMEDIATE_REBOOT": ""}
    # Left as it is where nothing is said: `kdumptool commandline -c -U` takes an empty one for true.
    if config.auto_reset_crashkernel is not None:
        settings["KDUMP_UPDATE_BOOTLOADER"] = str(config.auto_reset_crashkernel).lower()
    if config.final_action is FinalAction.REBOOT:
        settings["KDUMP_IMMEDIATE_REBOOT"] = "true"
    failure = config.failure_action
    if failure in goes_on:
        settings["KDUMP_CONTINUE_ON_ERROR"] = goes_on[failure]
    reasons = {
        "failure_action": "after a failure kdump-save reboots or opens a shell"
        if failure and failure not in goes_on
        else None,
        "final_action": "kdump-save reboots or opens a shell" if _other_than_reboot(config) else None,
    }
    return settings, _all(reasons)


def _suse_hooks(config: KdumpConfig) -> _Part:
    programs = dict.fromkeys(filter(None, (config.kdump_pre, config.kdump_post, *config.extra_bins)))
    return {
        "KDUMP_PRESCRIPT": shlex.quote(config.kdump_pre) if config.kdump_pre else "",
        "KDUMP_POSTSCRIPT": shlex.quote(config.kdump_post) if config.kdump_post else "",
        "KDUMP_REQUIRED_PROGRAMS": " ".join(programs),
    }, []


def _never(config: KdumpConfig, stack: str) -> list[Untranslated]:
    """What neither of them has."""
    fence = f"{stack} notifies no cluster before a dump"
    rebuild = f"{stack} has no say in when its initramfs is built"
    reasons = {
        "kdump_emergency": f"{stack} has no hook for failures" if config.kdump_emergency else None,
        "extra_modules": f"{stack} has no setting for modules" if config.extra_modules else None,
        "dracut_args": f"{stack} has no setting for dracut's arguments" if config.dracut_args else None,
        "force_rebuild": rebuild if config.force_rebuild else None,
        "force_no_rebuild": rebuild if config.force_no_rebuild else None,
        "fence_kdump_args": fence if config.fence_kdump_args else None,
        "fence_kdump_nodes": fence if config.fence_kdump_nodes else None,
    }
    return _all(reasons)


def _unmounted(target: Partition | Raw | Virtiofs | DracutMount) -> Untranslated:
    match target:
        case Raw():
            return Untranslated("raw", "dumps are saved to files")
        case DracutMount():
            option = "dracut_args"
        case Virtiofs():
            option = "virtiofs"
        case Partition(fstype=fstype):
            option = str(fstype)
    return Untranslated(option, "dumps are saved below a path, and /etc/fstab says what is mounted there")


def _below(nfs: Nfs, path: str) -> str:
    return f"{nfs.export.rstrip('/')}/{path.strip('/')}".rstrip("/") or "/"


def _other_than_reboot(config: KdumpConfig) -> bool:
    return config.final_action not in {None, FinalAction.REBOOT}


def _all(reasons: dict[str, str | None]) -> list[Untranslated]:
    return [Untranslated(option, reason) for option, reason in reasons.items() if reason]
