"""/etc/kdump.conf, the language in which the suite says how kdump is to be configured.

What kdump of RHEL and Fedora would refuse is refused here with its words, in its order, before anything is
touched: parse_config() and need_initrd_rebuild() of kdumpctl, then mkdumprd, of kdump-utils 63f248c. What
depends on the machine (is a file there, or a server) is left to it. A few slips that it lets pass without a
word are refused too, because whoever writes one means something else.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from kdump_tests.errors import BadInput
from kdump_tests.stacks import dump_target
from kdump_tests.stacks.core_collector import Collector, parse_collector
from kdump_tests.stacks.dump_target import DracutMount, RootDisk, Target, parse_target, split_mount
from kdump_tests.stacks.kdump_line import Line, lines_of, printed

DEFAULT_PATH = "/var/crash"


class FailureAction(StrEnum):
    """What follows a dump that was not saved."""

    REBOOT = "reboot"
    HALT = "halt"
    POWEROFF = "poweroff"
    SHELL = "shell"
    DUMP_TO_ROOTFS = "dump_to_rootfs"


class FinalAction(StrEnum):
    """What follows a dump that was saved, and a shell or a dump to the root file system."""

    REBOOT = "reboot"
    HALT = "halt"
    POWEROFF = "poweroff"


class Generation(StrEnum):
    """The upstream releases that brought new options, oldest first; the first is the first to check any.

    Distributions bring options to older releases, so a package's version alone does not tell.
    """

    KEXEC_TOOLS_2_0_3 = "kexec-tools 2.0.3"  # 8173553, 2013-03
    KEXEC_TOOLS_2_0_6 = "kexec-tools 2.0.6"  # 2066e5f, 2014-04
    KEXEC_TOOLS_2_0_14 = "kexec-tools 2.0.14"  # a284fa9, 2017-04
    KEXEC_TOOLS_2_0_18 = "kexec-tools 2.0.18"  # cc95f0a and 242da37, 2019-01
    KEXEC_TOOLS_2_0_23 = "kexec-tools 2.0.23"  # ae0cbdf, 2022-01
    KEXEC_TOOLS_2_0_25 = "kexec-tools 2.0.25"  # c743881, 2022-09
    KDUMP_UTILS_2026 = "kdump-utils of 2026-02"  # 31f1c85; its version stood at 1.0.44

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(Generation).index(self)


NEWEST = list(Generation)[-1]

SINCE: Mapping[str, Generation] = MappingProxyType(
    {
        "fence_kdump_args": Generation.KEXEC_TOOLS_2_0_6,
        "fence_kdump_nodes": Generation.KEXEC_TOOLS_2_0_6,
        "force_no_rebuild": Generation.KEXEC_TOOLS_2_0_14,
        "failure_action": Generation.KEXEC_TOOLS_2_0_18,
        "final_action": Generation.KEXEC_TOOLS_2_0_18,
        "auto_reset_crashkernel": Generation.KEXEC_TOOLS_2_0_23,
        "virtiofs": Generation.KEXEC_TOOLS_2_0_25,
        "kdump_emergency": Generation.KDUMP_UTILS_2026,
    }
)
"""The options that the first generation did not know."""

# What the manual page says instead; kdumpctl has called them deprecated since it checks.
_DEPRECATED = {
    "net": "nfs or ssh",
    "options": "KDUMP_COMMANDLINE_APPEND of /etc/sysconfig/kdump: MODULE.OPTION=VALUE",
    "link_delay": "leave it out: dracut waits for the network",
    "disk_timeout": "leave it out: dracut waits for the disks",
    "debug_mem_level": "KDUMP_COMMANDLINE_APPEND of /etc/sysconfig/kdump: rd.memdebug=0 to 3",
    "blacklist": "KDUMP_COMMANDLINE_APPEND of /etc/sysconfig/kdump: rd.driver.blacklist=MODULE",
}
# Options that people know from elsewhere. No kdumpctl that checks took them.
_NEVER = {
    "nfs4": "nfs",
    # mkdumprd read it until 755ba19 (2023-09), and the manual page had it.
    "override_resettable": "leave it out: nothing reads it any more",
}


@dataclass(frozen=True)
class KdumpConfig:
    """What /etc/kdump.conf says; None and () where it says nothing.

    ``failure_action`` is also what the older name ``default`` says. ``dracut_args`` are those without a
    mount, which is the target then. ``sshkey`` may be there without an SSH target, and is not used.
    """

    target: Target = field(default_factory=RootDisk)
    path: str = DEFAULT_PATH
    sshkey: str | None = None
    core_collector: Collector | None = None
    failure_action: FailureAction | None = None
    final_action: FinalAction | None = None
    kdump_pre: str | None = None
    kdump_post: str | None = None
    kdump_emergency: str | None = None
    extra_bins: tuple[str, ...] = ()
    extra_modules: tuple[str, ...] = ()
    dracut_args: str | None = None
    force_rebuild: bool | None = None
    force_no_rebuild: bool | None = None
    fence_kdump_args: str | None = None
    fence_kdump_nodes: tuple[str, ...] = ()
    auto_reset_crashkernel: bool | None = None

    def __str__(self) -> str:
        return self.text()

    def text(self, generation: Generation = NEWEST) -> str:
        """The file, as this generation takes it; reads back as the same configuration.

        Raises:
            BadInput: the generation does not know one of the options.
        """
        options = self.options()
        if "failure_action" in options and not _knows(generation, "failure_action"):
            options["default"] = options.pop("failure_action")
        for name in options:
            if not _knows(generation, name):
                raise BadInput(f"{generation} does not know {name}", known_since=SINCE[name])
        return "".join(f"{printed(name, value)}\n" for name, value in options.items())

    def options(self) -> dict[str, str]:
        """What it says, by option, as the newest generation names them."""
        mount = str(self.target) if isinstance(self.target, DracutMount) else ""
        values = {
            **_target_line(self.target),
            "path": self.path if self.path != DEFAULT_PATH else None,
            "sshkey": self.sshkey,
            "core_collector": self.core_collector,
            "failure_action": self.failure_action,
            "final_action": self.final_action,
            "kdump_pre": self.kdump_pre,
            "kdump_post": self.kdump_post,
            "kdump_emergency": self.kdump_emergency,
            "extra_bins": " ".join(self.extra_bins),
            "extra_modules": " ".join(self.extra_modules),
            "dracut_args": " ".join(filter(None, (self.dracut_args, mount))),
            "force_rebuild": _said(self.force_rebuild, "1", "0"),
            "force_no_rebuild": _said(self.force_no_rebuild, "1", "0"),
            "fence_kdump_args": self.fence_kdump_args,
            "fence_kdump_nodes": " ".join(self.fence_kdump_nodes),
            "auto_reset_crashkernel": _said(self.auto_reset_crashkernel, "yes", "no"),
        }
        return {name: str(value) for name, value in values.items() if value}


def parse_kdump_conf(text: str, generation: Generation = NEWEST) -> KdumpConfig:
    """What the file says; str() of the result reads back as the same configuration.

    Raises:
        BadInput: kdump would not start with it; names the line, points into it and says what kdump would.
    """
    lines = _accepted(text, generation)
    piped = "target" in lines and lines["target"].name in {"ssh", "raw"}
    read: dict[str, _Reader] = {**_READ, "core_collector": partial(parse_collector, piped=piped)}
    values = {name: read[name](lines[name]) for name in _named(lines)}
    if values.get("force_rebuild") and values.get("force_no_rebuild"):
        says = "Error: force_rebuild and force_no_rebuild are enabled simultaneously in kdump.conf"
        lines["force_rebuild"].refuse("force_rebuild and force_no_rebuild exclude each other", says)
    values |= {name: read[name](lines[name]) for name in lines if name not in values}
    config = KdumpConfig(**values)
    if line := lines.get("path"):
        _check_path(line, config.target)
    return config


def _accepted(text: str, generation: Generation) -> dict[str, Line]:
    """The lines by option, a target's as ``target``, as far as kdumpctl looks at them one by one."""
    lines: dict[str, Line] = {}
    for line in lines_of(text):
        _check_name(line, generation)
        _check_characters(line)
        keys = _keys(line)
        if keys[0] == "target" and "target" in lines:
            line.refuse_name(
                f"line {lines['target'].number} has named a target", "More than one dump targets specified"
            )
        if not line.value:
            called = {"target": "_target", "default": "failure_action"}.get(keys[0], keys[0])
            line.refuse_name(
                f"{line.name} needs a value", f"Invalid kdump config value for option '{called}'"
            )
        for key in keys:
            if key in lines:
                says = f"Duplicated kdump config value of option {key}"
                line.refuse_name(f"line {lines[key].number} has said {key}", says)
            lines[key] = line
    return lines


def _keys(line: Line) -> tuple[str, ...]:
    if line.name in dump_target.NAMES:
        return ("target",)
    if line.name == "default":
        return ("failure_action",)
    if line.name == "dracut_args" and split_mount(line)[0]:
        return ("target", "dracut_args")
    return (line.name,)


def _check_name(line: Line, generation: Generation) -> None:
    if line.name in _DEPRECATED:
        says = f"Deprecated kdump config option: {line.name}. Refer to kdump.conf manpage for alternatives."
        line.refuse_name(f"{line.name} is no option any more", says, way_out=_DEPRECATED[line.name])
    says = f"Invalid kdump config option {line.name}"
    if line.name not in OPTIONS:
        alike = difflib.get_close_matches(line.name, OPTIONS, n=1)
        way_out = _NEVER.get(line.name) or (alike[0] if alike else None)
        line.refuse_name(f"there is no option {line.name!r}", says, way_out=way_out)
    if not _knows(generation, line.name):
        what = f"{generation} does not know {line.name}"
        line.refuse_name(what, says, known_since=SINCE[line.name])


def _check_characters(line: Line) -> None:
    for at, character in enumerate(line.value, line.at):
        if not character.isprintable() and character != "\t":
            says = "nothing; it takes the character for a part of the value"
            line.refuse(f"a value has no character {character!r}", says, at)


def _named(lines: dict[str, Line]) -> list[str]:
    """Those at which kdumpctl looks by name, in its order; mkdumprd then takes all as they stand."""
    ssh = ["target"] if "target" in lines and lines["target"].name == "ssh" else []
    order = ["failure_action", "final_action", *ssh, "force_no_rebuild", "force_rebuild"]
    return [name for name in order if name in lines]


def _check_path(line: Line, target: Target) -> None:
    if isinstance(target, RootDisk) and not line.value.startswith("/"):
        line.refuse("without a target, path begins with /", f"Dump path {line.value} does not exist.")


_Reader: TypeAlias = Callable[[Line], Any]


def _failure_action(line: Line) -> FailureAction:
    if line.value not in set(FailureAction):
        says = f"Usage kdump.conf: failure_action {{{'|'.join(FailureAction)}}}"
        line.refuse(f"{line.name} is one of {', '.join(FailureAction)}", says)
    return FailureAction(line.value)


def _final_action(line: Line) -> FinalAction:
    if line.value not in set(FinalAction):
        says = f"Usage kdump.conf: final_action {{{'|'.join(FinalAction)}}}"
        line.refuse(f"final_action is one of {', '.join(FinalAction)}", says)
    return FinalAction(line.value)


def _target(line: Line) -> Target:
    mount = split_mount(line)[0] if line.name == "dracut_args" else None
    return mount or parse_target(line)


def _dracut_args(line: Line) -> str | None:
    return split_mount(line)[1] or None


def _rebuild(line: Line) -> bool:
    if line.value not in {"0", "1"}:
        line.refuse(f"{line.name} is 0 or 1", f"Error: {line.name} value is invalid")
    return line.value == "1"


def _hook(line: Line) -> str:
    if others := line.words[1:]:
        # check_exist() of kdumpctl takes each word for a file, the capture kernel all of them for one.
        line.refuse(f"{line.name} is one program", f"Error: {others[0].text} not found.", others[0].at)
    return line.value


def _yes_or_no(line: Line) -> bool:
    if line.value not in {"yes", "no"}:
        line.refuse(f"{line.name} is yes or no", "nothing; it takes all but no for yes")
    return line.value == "yes"


def _words(line: Line) -> tuple[str, ...]:
    return tuple(word.text for word in line.words)


def _as_it_is(line: Line) -> str:
    return line.value


_READ: dict[str, _Reader] = {
    "target": _target,
    "path": _as_it_is,
    "sshkey": _as_it_is,
    "failure_action": _failure_action,
    "final_action": _final_action,
    "kdump_pre": _hook,
    "kdump_post": _hook,
    "kdump_emergency": _hook,
    "extra_bins": _words,
    "extra_modules": _words,
    "dracut_args": _dracut_args,
    "force_rebuild": _rebuild,
    "force_no_rebuild": _rebuild,
    "fence_kdump_args": _as_it_is,
    "fence_kdump_nodes": _words,
    "auto_reset_crashkernel": _yes_or_no,
}

OPTIONS = frozenset({*_READ, *dump_target.NAMES, "core_collector", "default"} - {"target"})
"""What a line may begin with."""


def _knows(generation: Generation, option: str) -> bool:
    return option not in SINCE or SINCE[option].rank <= generation.rank


def _target_line(target: Target) -> dict[str, str]:
    if isinstance(target, RootDisk | DracutMount):
        return {}
    name, _, value = str(target).partition(" ")
    return {name: value}


def _said(flag: bool | None, yes: str, no: str) -> str | None:
    return None if flag is None else yes if flag else no
