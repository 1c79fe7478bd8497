"""What each stack makes of each option of kdump.conf: verified by a run, translated alone, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kdump_tests.errors import BadInput
from kdump_tests.stacks import dump_target
from kdump_tests.stacks.kdump_conf import KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.stack import Stack

# One row each, as somebody would write it. What belongs to it stands on further lines.
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "nothing but the defaults": "",
        "`path`, on the root file system": "path /srv/dumps",
        "`ext4`, `xfs`, `btrfs`, … by device": "ext4 /dev/vdb",
        "… by UUID": "xfs UUID=03138356-5e61-4ab3-b58e-27507ac41937",
        "… by label": "btrfs LABEL=dumps",
        "`dracut_args --mount`": 'dracut_args --mount "/dev/vdb /dumps ext4"',
        "`raw`": "raw /dev/vdb",
        "`nfs`": "nfs server:/export",
        "`ssh`": "ssh root@server",
        "`virtiofs`": "virtiofs dumps",
        "dump level 0": "core_collector makedumpfile -l -d 0",
        "dump level 1": "core_collector makedumpfile -l -d 1",
        "dump level 17": "core_collector makedumpfile -l -d 17",
        "dump level 31": "core_collector makedumpfile -l -d 31",
        "no compression": "core_collector makedumpfile -d 31",
        "zlib": "core_collector makedumpfile -c -d 31",
        "snappy": "core_collector makedumpfile -p -d 31",
        "zstd": "core_collector makedumpfile -z -d 31",
        "ELF": "core_collector makedumpfile -E -d 31",
        "`cp` instead of makedumpfile": "core_collector cp",
        "`failure_action reboot`": "failure_action reboot",
        "`failure_action halt`": "failure_action halt",
        "`failure_action poweroff`": "failure_action poweroff",
        "`failure_action shell`": "failure_action shell",
        "`failure_action dump_to_rootfs`": "failure_action dump_to_rootfs",
        "`final_action reboot`": "final_action reboot",
        "`final_action halt`": "final_action halt",
        "`final_action poweroff`": "final_action poweroff",
        "`kdump_pre`": "kdump_pre /usr/local/bin/before",
        "`kdump_post`": "kdump_post /usr/local/bin/after",
        "`kdump_emergency`": "kdump_emergency /usr/local/bin/emergency",
        "`extra_bins`": "extra_bins /usr/bin/lsblk\nkdump_post /usr/local/bin/after",
        "`extra_modules`": "extra_modules loop",
        "`dracut_args`": "dracut_args --omit-drivers cfg80211",
        "`force_rebuild`": "force_rebuild 1",
        "`force_no_rebuild`": "force_no_rebuild 1",
        "`fence_kdump_nodes`": "fence_kdump_nodes node1 node2\nfence_kdump_args -p 7410",
        "`auto_reset_crashkernel`": "auto_reset_crashkernel yes",
    }
)

# What a dump that passes proves. Of all others, it proves that kdump arms and dumps with them.
_JUDGED = frozenset({*dump_target.NAMES, "path", "core_collector", "final_action"})


@dataclass(frozen=True)
class Verified:
    """A run of the whole suite with nothing failed, and one crash at least."""

    stack: str
    guest: str  # in words
    day: str  # YYYY-MM-DD
    kdump_conf: str

    def shows(self, option: str) -> bool:
        """Whether all lines of that option were in force."""
        asked = parse_kdump_conf(option).options()
        return asked.items() <= parse_kdump_conf(self.kdump_conf).options().items()


def cell(stack: Stack, option: str, runs: Sequence[Verified]) -> str:
    """What is known of an option, given as lines of kdump.conf."""
    config = parse_kdump_conf(option)
    translation = stack.translate(config)
    if translation.untranslated:
        reasons = dict.fromkeys(each.reason for each in translation.untranslated)
        return f"not supported: {'; '.join(reasons)}"
    by = [run.guest for run in runs if run.stack == stack.name and run.shows(option)]
    if by and config.options().keys() <= _JUDGED:
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
    rows = [
        [name, *(cell(stack, option, runs) for stack in stacks.values())] for name, option in OPTIONS.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _by_default(stack: Stack, config: KdumpConfig) -> str:
    """Where saying nothing and saying this comes to the same settings."""
    same = stack.translate(config).settings == stack.translate(KdumpConfig()).settings
    return "; it is what happens anyway" if same and config != KdumpConfig() else ""
