"""What each stack makes of each option of kdump.conf: verified by a run, translated alone, or not at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kdump_tests.errors import BadInput
from kdump_tests.stacks.core_collector import Compression, Makedumpfile
from kdump_tests.stacks.dump_target import By, DracutMount, Nfs, Partition, Raw, RootDisk, Ssh, Virtiofs
from kdump_tests.stacks.kdump_conf import DEFAULT_PATH, KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.stack import Stack

_Shown: TypeAlias = Callable[[KdumpConfig], bool]


@dataclass(frozen=True)
class Option:
    """A row: lines as somebody would write them, and which configurations of a run show it at work.

    Of what is not ``judged``, a dump that passes proves no more than that kdump arms and dumps with it.
    What comes ``once_lost`` shows where the dump could not be saved, and nowhere else.
    """

    name: str
    text: str
    shown_by: _Shown
    judged: bool = True
    once_lost: bool = False


def _at(kind: type[object], by: By | None = None) -> _Shown:
    def shown(config: KdumpConfig) -> bool:
        target = config.target
        return isinstance(target, kind) and (
            by is None or (isinstance(target, Partition) and target.by is by)
        )

    return shown


def _made(makes: Callable[[Makedumpfile], bool]) -> _Shown:
    return lambda config: isinstance(config.core_collector, Makedumpfile) and makes(config.core_collector)


def _level(level: int) -> Option:
    shown = _made(lambda collector: collector.levels == (level,))
    return Option(f"dump level {level}", f"core_collector makedumpfile -l -d {level}", shown)


def _packed(name: str, how: Compression | None) -> Option:
    shown = _made(lambda collector: collector.compression is how and not collector.elf)
    return Option(name, f"core_collector makedumpfile {how or ''} -d 31", shown)


def _said(text: str, *, judged: bool = False, once_lost: bool = False) -> Option:
    """A run with the same line, or for what names a file, a module or a node, with any of that name."""
    ((name, value), *_) = parse_kdump_conf(text).options().items()
    exact = name.endswith("_action") or value in {"0", "1", "yes", "no"}
    named = f"`{name} {value}`" if exact else f"`{name}`"

    def shown(config: KdumpConfig) -> bool:
        options = config.options()
        return options.get(name) == value if exact else name in options

    return Option(named, text, shown, judged, once_lost)


def _after_a_failure(action: str) -> Option:
    return _said(f"failure_action {action}", judged=True, once_lost=True)


OPTIONS = (
    Option("nothing but the defaults", "", lambda config: config == KdumpConfig()),
    Option(
        "`path`, on the root file system",
        "path /srv/dumps",
        lambda config: isinstance(config.target, RootDisk) and config.path != DEFAULT_PATH,
    ),
    Option("`ext4`, `xfs`, `btrfs`, … by device", "ext4 /dev/vdb", _at(Partition, By.DEVICE)),
    Option("… by UUID", "xfs UUID=03138356-5e61-4ab3-b58e-27507ac41937", _at(Partition, By.UUID)),
    Option("… by label", "btrfs LABEL=dumps", _at(Partition, By.LABEL)),
    Option("`dracut_args --mount`", 'dracut_args --mount "/dev/vdb /dumps ext4"', _at(DracutMount)),
    Option("`raw`", "raw /dev/vdb", _at(Raw)),
    Option("`nfs`", "nfs server:/export", _at(Nfs)),
    Option("`ssh`", "ssh root@server", _at(Ssh)),
    Option("`virtiofs`", "virtiofs dumps", _at(Virtiofs)),
    *map(_level, (0, 1, 17, 31)),
    _packed("no compression", None),
    *(_packed(how.name.lower(), how) for how in Compression),
    Option("ELF", "core_collector makedumpfile -E -d 31", _made(lambda collector: collector.elf)),
    Option("`cp` instead of makedumpfile", "core_collector cp", lambda run: str(run.core_collector) == "cp"),
    *map(_after_a_failure, ("reboot", "halt", "poweroff", "shell", "dump_to_rootfs")),
    *(_said(f"final_action {action}", judged=True) for action in ("reboot", "halt", "poweroff")),
    _said("kdump_pre /usr/local/bin/before"),
    _said("kdump_post /usr/local/bin/after"),
    _said("kdump_emergency /usr/local/bin/emergency"),
    _said("extra_bins /usr/bin/lsblk"),
    _said("extra_modules loop"),
    _said("dracut_args --omit-drivers cfg80211"),
    _said("force_rebuild 1"),
    _said("force_no_rebuild 1"),
    _said("fence_kdump_nodes node1 node2"),
    _said("fence_kdump_args -p 7410"),
    _said("auto_reset_crashkernel yes"),
)


@dataclass(frozen=True)
class Verified:
    """A run of the whole suite with one crash at least, and nothing failed.

    Or else, with nothing ``saved``, one whose disk was full, and whose machine ended as it must then.
    """

    stack: str
    guest: str  # in words
    day: str  # YYYY-MM-DD
    kdump_conf: str
    saved: bool = True

    @property
    def config(self) -> KdumpConfig:
        """What was asked for."""
        return parse_kdump_conf(self.kdump_conf)


def cell(stack: Stack, option: Option, runs: Sequence[Verified]) -> str:
    """What is known of an option."""
    config = parse_kdump_conf(option.text)
    translation = stack.translate(config)
    if translation.untranslated:
        reasons = dict.fromkeys(each.reason for each in translation.untranslated)
        return f"not supported: {'; '.join(reasons)}"
    by = [
        run.guest
        for run in runs
        if run.stack == stack.name and run.saved is not option.once_lost and option.shown_by(run.config)
    ]
    if by and option.judged:
        return f"**verified** on {', '.join(dict.fromkeys(by))}"
    if by:
        return f"dumps with it on {', '.join(dict.fromkeys(by))}; its own effect is not judged"
    try:
        stack.configured(translation.settings)
    except BadInput:
        return "translated, unverified; nobody looks for such a dump yet"
    return f"translated, unverified{_by_default(stack, config)}"


def table(stacks: Mapping[str, Stack], runs: Sequence[Verified]) -> str:
    """All of it, as Markdown."""
    head = ["option of kdump.conf", *stacks]
    rows = [[option.name, *(cell(stack, option, runs) for stack in stacks.values())] for option in OPTIONS]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _by_default(stack: Stack, config: KdumpConfig) -> str:
    """Where saying nothing and saying this comes to the same settings."""
    same = stack.translate(config).settings == stack.translate(KdumpConfig()).settings
    return "; it is what happens anyway" if same and config != KdumpConfig() else ""
