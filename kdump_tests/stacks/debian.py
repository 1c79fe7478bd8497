"""kdump-tools, of Debian and its kin. Read in kdump-config and its service of 1.8.1, 1.10.7 and 1.10.9."""

import re

from kdump_tests.deadline import Deadline
from kdump_tests.guest.shell import Shell
from kdump_tests.stacks.listing import dump_directories
from kdump_tests.stacks.stack import Artifact, Artifacts, DumpDirectory, KdumpState, Markers, Phase

_SERVICE = "kdump-tools.service"
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

    def settle(self, shell: Shell, until: Deadline) -> None:
        """The service is part of the boot, so when the boot is over so is its try."""
        shell.attempt("systemctl", "is-system-running", "--wait", until=until)

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """The service by systemd's view, the capture kernel by the kernel's, and the service's journal."""
        shown = shell.run("systemctl", "show", "--property=ActiveState,UnitFileState", _SERVICE, until=until)
        unit = dict(line.partition("=")[::2] for line in shown.splitlines())
        loaded = shell.run("cat", "/sys/kernel/kexec_crash_loaded", until=until)
        said = shell.attempt(
            "journalctl", "--boot", "--unit", _SERVICE, "--output=cat", "--lines=20", until=until
        )
        return KdumpState(
            service=_SERVICE,
            enabled=unit.get("UnitFileState", ""),
            active=unit.get("ActiveState", ""),
            capture_kernel_loaded=loaded.strip() == "1",
            said=said.stdout.strip(),
        )

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Directories named YYYYMMDDHHMM; kdump-tools keeps other files of its own beside them."""
        found = dump_directories(shell, _CORE_DIRECTORY, until)
        return tuple(
            directory for directory in found if re.fullmatch(r"\d{12}", directory.path.rsplit("/", 1)[-1])
        )
