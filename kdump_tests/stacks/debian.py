"""kdump-tools, of Debian and its kin. Read in kdump-config and its service of 1.8.1, 1.10.7 and 1.10.9."""

import re
import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError, NotArmed
from kdump_tests.guest.shell import Shell
from kdump_tests.stacks.kdump_conf import KdumpConfig
from kdump_tests.stacks.listing import dump_directories
from kdump_tests.stacks.stack import (
    Artifact,
    Artifacts,
    DumpDirectory,
    KdumpState,
    Markers,
    Phase,
    ReadWhen,
    Rearmed,
)
from kdump_tests.stacks.translation import Translation, to_debian

_SERVICE = "kdump-tools.service"
_LOADED = "/sys/kernel/kexec_crash_loaded"
_CONFIGURATION = "/etc/default/kdump-tools"
# What a shell that reads the configuration takes for the value of each name, NUL after each.
_TELL = r""". "$0"; for name; do eval "printf '%s\\0' \"\$$name\""; done"""
# KDUMP_COREDIR's default.
_CORE_DIRECTORY = "/var/crash"


class Debian:
    """The capture kernel boots the ordinary root file system into kdump-tools-dump.service, which saves."""

    name = "debian"

    markers = Markers(
        phases=(
            (
                Phase.TARGET_MOUNTED,
                re.compile(r"Reached target .*local-fs\.target|Reached target Local File Systems"),
            ),
            (Phase.DMESG_SAVED, re.compile(r"saved dmesg content in ")),
            # Also `cp`, its fallback: what counts is that /proc/vmcore is being read.
            (Phase.DUMP_STARTED, re.compile(r"running makedumpfile .*\| *compress|running cp /proc/vmcore")),
            (Phase.DUMP_SAVED, re.compile(r"saved vmcore in ")),
        ),
        # makedumpfile's own word counts: kdump-config takes the status of the pipe's last part, so it calls
        # a dump saved when makedumpfile failed and `cat` did not (1.8.1 to 1.10.9).
        failed=re.compile(r"makedumpfile Failed\.|failed to save (vmcore|dmesg content) in "),
    )

    artifacts = Artifacts(
        # Written through a shell redirection, so the umask decides: 0644, where makedumpfile itself
        # would have made it 0600. That is what 1.8.1 to 1.10.9 do, and what is held against them.
        vmcore=Artifact(re.compile(r"dump\.\d{12}(\.(bz2|gz|lz4|xz))?"), 0o644),
        dmesg=Artifact(re.compile(r"dmesg\.\d{12}"), 0o600),
    )

    # kdump-config's own word where the command line has no crashkernel=, else kexec's.
    says_nothing_is_kept_aside = re.compile(
        r"no crashkernel= parameter in the kernel cmdline|Memory for crashkernel is not reserved"
    )

    # kdump-config reads the file each time, but what it hands to kexec stays as it was loaded.
    settings: Mapping[str, ReadWhen] = MappingProxyType(
        {
            "FTP": ReadWhen.CAPTURING,
            "KDUMP_CMDLINE": ReadWhen.LOADING,
            "KDUMP_CMDLINE_APPEND": ReadWhen.LOADING,
            "KDUMP_COREDIR": ReadWhen.CAPTURING,
            "KDUMP_KEXEC_ARGS": ReadWhen.LOADING,
            "KDUMP_DUMP_DMESG": ReadWhen.CAPTURING,
            "KDUMP_FAIL_CMD": ReadWhen.CAPTURING,
            "MAKEDUMP_ARGS": ReadWhen.CAPTURING,
            "NFS": ReadWhen.CAPTURING,
            "SSH": ReadWhen.CAPTURING,
            "SSH_KEY": ReadWhen.CAPTURING,
        }
    )

    def __init__(self, core_directory: str = _CORE_DIRECTORY) -> None:
        self.core_directory = core_directory

    def translate(self, config: KdumpConfig) -> Translation:
        """/etc/default/kdump-tools."""
        return to_debian(config)

    def configured(self, settings: Mapping[str, str]) -> "Debian":
        """Another KDUMP_COREDIR. What is sent to another machine cannot be looked for yet."""
        if elsewhere := [name for name in ("FTP", "NFS", "SSH") if settings.get(name)]:
            raise BadInput(
                f"{elsewhere[0]}={settings[elsewhere[0]]} sends dumps to where nobody looks for them yet",
                way_out="a path on the guest's own disk",
            )
        directory = settings.get("KDUMP_COREDIR") or _CORE_DIRECTORY
        if not directory.startswith("/"):
            raise BadInput(f"KDUMP_COREDIR={directory} is not a full path")
        return Debian(directory.rstrip("/") or "/")

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """As the shell reads the file; empty where it says nothing."""
        asked = tuple(names)
        values = shell.run("sh", "-c", _TELL, _CONFIGURATION, *asked, until=until).split("\0")
        if len(values) != len(asked) + 1:
            raise LabError("the guest tells its settings in an unknown form", said="\0".join(values)[:500])
        return dict(zip(asked, values, strict=False))

    def configure(self, shell: Shell, settings: Mapping[str, str], until: Deadline) -> Rearmed:
        """Lines at the end of the file, where the last word counts, and `kdump-config reload` if need be."""
        told = self.told(shell, settings, until)
        changed = {name: value for name, value in settings.items() if told[name] != value}
        if not changed:
            return Rearmed((), reloaded=False)
        lines = [f"{name}={shlex.quote(value)}" for name, value in changed.items()]
        shell.run("sh", "-c", 'printf "%s\\n" "$@" >> "$0"', _CONFIGURATION, *lines, until=until)
        if not any(self.settings[name] is ReadWhen.LOADING for name in changed):
            return Rearmed(tuple(changed), reloaded=False)
        reload = shell.attempt("kdump-config", "reload", until=until)
        if shell.run("cat", _LOADED, until=until).strip() != "1":
            said = f"{reload.stdout}{reload.stderr}".strip()
            raise NotArmed(
                "no capture kernel is loaded with the settings given",
                settings="\n".join(lines),
                it_says=said,
            )
        return Rearmed(tuple(changed), reloaded=True)

    def settle(self, shell: Shell, until: Deadline) -> None:
        """The service is part of the boot, so when the boot is over so is its try."""
        shell.attempt("systemctl", "is-system-running", "--wait", until=until)

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """The service by systemd's view, the capture kernel by the kernel's, and the service's journal."""
        shown = shell.run("systemctl", "show", "--property=ActiveState,UnitFileState", _SERVICE, until=until)
        unit = dict(line.partition("=")[::2] for line in shown.splitlines())
        loaded = shell.run("cat", _LOADED, until=until)
        is_loaded, active = loaded.strip() == "1", unit.get("ActiveState", "")
        # Its account is long in coming, and asked for when something is wrong.
        well = is_loaded and active == "active"
        return KdumpState(
            service=_SERVICE,
            enabled=unit.get("UnitFileState", ""),
            active=active,
            capture_kernel_loaded=is_loaded,
            said="" if well else self._journal(shell, until),
        )

    def _journal(self, shell: Shell, until: Deadline) -> str:
        words = ("--boot", "--unit", _SERVICE, "--output=cat", "--lines=20")
        return shell.attempt("journalctl", *words, until=until).stdout.strip()

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Directories named YYYYMMDDHHMM; kdump-tools keeps other files of its own beside them."""
        found = dump_directories(shell, self.core_directory, until)
        return tuple(
            directory for directory in found if re.fullmatch(r"\d{12}", directory.path.rsplit("/", 1)[-1])
        )
