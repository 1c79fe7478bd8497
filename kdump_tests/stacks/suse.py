"""kdump of SUSE and openSUSE. Read in openSUSE/kdump 34da4b8 (2.1.9), not yet tried with the real thing."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.guest.shell import Output, Shell
from kdump_tests.stacks import unit
from kdump_tests.stacks.boot_loader import BootLoader, GrubDefaults
from kdump_tests.stacks.kdump_conf import DEFAULT_PATH, FinalAction, KdumpConfig
from kdump_tests.stacks.listing import dump_directories
from kdump_tests.stacks.shell_settings import ShellSettings, lines
from kdump_tests.stacks.stack import (
    Artifact,
    Artifacts,
    DumpDirectory,
    KdumpState,
    Markers,
    Phase,
    ReadWhen,
    Written,
)
from kdump_tests.stacks.topology import Remote
from kdump_tests.stacks.translation import Translation, to_suse

_SERVICE = "kdump.service"
_CONFIGURATION = "/etc/sysconfig/kdump"
# kdump(5). All are copied into the capture's initramfs, or handed to kexec.
_SETTINGS = (
    "FADUMP_COMMANDLINE_APPEND",
    "KDUMP_AUTO_RESIZE",
    "KDUMP_COMMANDLINE",
    "KDUMP_COMMANDLINE_APPEND",
    "KDUMP_CONTINUE_ON_ERROR",
    "KDUMP_CPUS",
    "KDUMP_CRASHKERNEL",
    "KDUMP_DUMPFORMAT",
    "KDUMP_DUMPLEVEL",
    "KDUMP_FADUMP",
    "KDUMP_FADUMP_SHELL",
    "KDUMP_FREE_DISK_SIZE",
    "KDUMP_HOST_KEY",
    "KDUMP_IMMEDIATE_REBOOT",
    "KDUMP_KEEP_OLD_DUMPS",
    "KDUMP_KERNELVER",
    "KDUMP_NETCONFIG",
    "KDUMP_NET_TIMEOUT",
    "KDUMP_POSTSCRIPT",
    "KDUMP_PRESCRIPT",
    "KDUMP_REQUIRED_PROGRAMS",
    "KDUMP_SAVEDIR",
    "KDUMP_SSH_IDENTITY",
    "KDUMP_TRANSFER",
    "KDUMP_UPDATE_BOOTLOADER",
    "KDUMP_VERBOSE",
    "KEXEC_OPTIONS",
    "MAKEDUMPFILE_OPTIONS",
)

_WAITS_WITHOUT = ("KDUMP_IMMEDIATE_REBOOT", "KDUMP_CONTINUE_ON_ERROR")
_OF_THE_BOOT_LOADER = ("KDUMP_CRASHKERNEL", "KDUMP_FADUMP", "KDUMP_UPDATE_BOOTLOADER")


@dataclass(frozen=True)
class KdumpCrashkernel:
    """KDUMP_CRASHKERNEL: whatever else is written to the boot loader, kdump's next start replaces by it."""

    def reserve(self, shell: Shell, crashkernel: str | None, until: Deadline) -> None:
        """Through pbl, as `kdumptool commandline` does it."""
        if crashkernel is None:
            # Or it would be put there again.
            ShellSettings(_CONFIGURATION).append(shell, {"KDUMP_UPDATE_BOOTLOADER": "false"}, until)
            shell.run("kdumptool", "commandline", "-d", until=until)
            return
        settings = {"KDUMP_CRASHKERNEL": f"crashkernel={crashkernel}", "KDUMP_UPDATE_BOOTLOADER": "true"}
        ShellSettings(_CONFIGURATION).append(shell, settings, until)
        shell.run("kdumptool", "commandline", "-u", until=until)

    def reserved(self, shell: Shell, until: Deadline) -> str | None:
        """By GRUB's defaults, where pbl keeps it."""
        return GrubDefaults("GRUB_CMDLINE_LINUX_DEFAULT", ()).reserved(shell, until)


class Suse:
    """The capture kernel's initramfs runs kdump-save, which pipes everything into one kind of target."""

    name = "suse"
    tool = "kdumptool"
    installers: tuple[str, ...] = ("zypper",)
    files: tuple[str, ...] = (_CONFIGURATION,)

    markers = Markers(
        phases=(
            (Phase.TARGET_MOUNTED, re.compile(r"Saved temporary README\.txt")),
            (Phase.DMESG_SAVED, re.compile(r"Saved dmesg\b")),
            # kdump-save says nothing as it begins, and it begins with nothing in between.
            (Phase.DUMP_STARTED, re.compile(r"Saved dmesg\b")),
            (Phase.DUMP_SAVED, re.compile(r"Saved vmcore\b")),
        ),
        failed=re.compile(
            r"makedumpfile Failed\.|Fatal error: |Failed saving (dmesg|vmcore)|Deleting vmcore"
            r"|Error saving (temporary|final) README\.txt|(Pre|Post)-script failed|Transfer exit code: "
        ),
        waits=re.compile(r"Running a (debug )?shell"),
    )

    # umask 077, and no log of the capture's own. Before 493ab5d (2023-06) it was dmesg.txt.
    artifacts = Artifacts(
        vmcore=Artifact(re.compile(r"vmcore"), 0o600),
        dmesg=Artifact(re.compile(r"dmesg(\.txt)?"), 0o600),
        account=Artifact(re.compile(r"README\.txt"), 0o600),
    )

    ends_with = FinalAction.REBOOT
    remote: Remote | None = None
    elsewhere = ""
    keeps: int | None = None  # KDUMP_KEEP_OLD_DUMPS is not looked at
    says_nothing_is_kept_aside = re.compile(r"No crashkernel memory reserved, Kdump cannot start")
    # Until the end it says that the dump is likely incomplete.
    says_it_was_saved: re.Pattern[str] | None = re.compile(
        r"^vmcore status: saved successfully$", re.MULTILINE
    )

    settings: Mapping[str, ReadWhen] = MappingProxyType(dict.fromkeys(_SETTINGS, ReadWhen.LOADING))

    def __init__(self, core_directory: str = DEFAULT_PATH) -> None:
        self.core_directory = core_directory

    def translate(self, config: KdumpConfig) -> Translation:
        """/etc/sysconfig/kdump."""
        return to_suse(config)

    def configured(self, settings: Mapping[str, str]) -> "Suse":
        """Another KDUMP_SAVEDIR of the machine's own."""
        directory = (settings.get("KDUMP_SAVEDIR") or DEFAULT_PATH).removeprefix("file://")
        if "://" in directory:
            raise BadInput(
                f"KDUMP_SAVEDIR={directory} sends dumps to where nobody looks for them yet",
                way_out="a path on the guest's own disk",
            )
        if not directory.startswith("/"):
            raise BadInput(f"KDUMP_SAVEDIR={directory} is not a full path")
        return Suse(directory.rstrip("/") or "/")

    def unfit_for_a_host(self, settings: Mapping[str, str], changed: Mapping[str, str]) -> str:
        """kdump-save waits in a shell after some, and kdump-commandline.service writes others to pbl."""
        stays = [name for name in _WAITS_WITHOUT if settings.get(name, "").lower() in {"false", "no", "0"}]
        found = [*stays, *(name for name in _OF_THE_BOOT_LOADER if changed.get(name))]
        return f"{found[0]}={settings[found[0]]}" if found else ""

    def install(self, shell: Shell, until: Deadline) -> None:
        """kdump, which brings kexec-tools and makedumpfile."""
        shell.run("zypper", "--non-interactive", "install", "kdump", until=until)
        shell.run("systemctl", "enable", _SERVICE, until=until)
        self.restart(shell, until)

    def boot_loader(self, shell: Shell, until: Deadline) -> BootLoader:
        """By a setting of kdump's own, and what pbl makes of it as kdump-commandline.service starts."""
        return KdumpCrashkernel()

    def own_crashkernel(self, shell: Shell, until: Deadline) -> str | None:
        """By kdumptool, which prints what it would have on the command line: one word or two."""
        said = shell.attempt("kdumptool", "commandline", until=until)
        words = [word for word in said.stdout.split() if word.startswith("crashkernel=")]
        return " ".join(words).removeprefix("crashkernel=") if said.status == 0 and words else None

    def restart(self, shell: Shell, until: Deadline) -> None:
        """Builds the initramfs if a setting is another."""
        shell.attempt("systemctl", "restart", _SERVICE, until=until)

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """As the shell reads the file; empty where it says nothing."""
        return ShellSettings(_CONFIGURATION).told(shell, names, until)

    def write(self, shell: Shell, settings: Mapping[str, str], until: Deadline) -> Written:
        """Lines at the end of the file, where the last word counts."""
        written = Written.of(self, self.told(shell, settings, until), settings)
        ShellSettings(_CONFIGURATION).append(shell, written.changed, until)
        return written

    def arm(self, shell: Shell, written: Written, until: Deadline) -> None:
        """A restart."""
        self.restart(shell, until)
        unit.require_loaded(shell, lines(written.changed), lambda: self.state(shell, until).said, until)

    def settle(self, shell: Shell, until: Deadline) -> None:
        """kdump-early.service may have loaded it before; this one builds it anew if it must."""
        unit.settle(shell, _SERVICE, until)

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """As systemd and the kernel see it."""
        return unit.state_of(shell, _SERVICE, until)

    def propagate(self, shell: Shell, until: Deadline) -> None:
        """Nothing of kdump's brings a key; it takes one that is let in."""
        raise BadInput(f"{self.name} sends dumps nowhere yet")

    def try_remote(self, shell: Shell, until: Deadline) -> Output:
        """Once it sends anywhere."""
        raise BadInput(f"{self.name} sends dumps nowhere yet")

    def sender_of(self, directory: DumpDirectory) -> str:
        """What stands before the time of the crash; nothing where nothing is sent."""
        return directory.name[: -len("-YYYY-MM-DD-HH-MM")]

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Directories named YYYY-MM-DD-HH-MM, in older releases with a colon."""
        found = dump_directories(shell, self.core_directory, until)
        pattern = r"\d{4}-\d\d-\d\d-\d\d[-:]\d\d"
        return tuple(each for each in found if re.fullmatch(pattern, each.name))
