"""kdump of RHEL, Fedora and their kin: kexec-tools of RHEL 7 to 9, kdump-utils of 10 and Fedora.

Read in kdumpctl, mkdumprd and kdump.sh of kdump-utils 63f248c, and tried with them, as benchmarks/TARGETS.md
tells. What older releases do otherwise is by their documentation.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, NotArmed
from kdump_tests.guest.shell import Output, Shell
from kdump_tests.stacks import unit
from kdump_tests.stacks.boot_loader import BootLoader, Grubby, GrubDefaults
from kdump_tests.stacks.core_collector import Command
from kdump_tests.stacks.dump_target import DracutMount, Nfs, Partition, Raw, RootDisk, Ssh, Virtiofs
from kdump_tests.stacks.kdump_conf import OPTIONS, FailureAction, FinalAction, KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.kdump_line import lines_of, printed
from kdump_tests.stacks.listing import dump_directories
from kdump_tests.stacks.shell_settings import ShellSettings
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
from kdump_tests.stacks.topology import Remote, Topology
from kdump_tests.stacks.translation import MOUNT_POINT, Translation, to_el

_SERVICE = "kdump.service"
_CONFIGURATION = "/etc/kdump.conf"
_SYSCONFIG = "/etc/sysconfig/kdump"
_KEY = "/root/.ssh/kdump_id_rsa"  # sshkey's default
# Of RHEL 9, one for each kernel; before, the kernel knew `auto`.
_KERNELS_DEFAULT = 'cat "/usr/lib/modules/$(uname -r)/crashkernel.default"'

# dracut-kdump.sh of kexec-tools prints the same behind `kdump: `, without a number.
_SAYS = r"kdump(?:\[\d+\])?: "

_VMCORE_DMESG = Artifact(re.compile(r"vmcore-dmesg\.txt"), 0o600, older_modes=(0o644,))
_KEXEC_DMESG = Artifact(re.compile(r"kexec-dmesg\.log"), 0o600, older_modes=(0o644,))


class El:
    """The capture kernel's initramfs mounts the target by itself; kdump.sh in it saves and reboots."""

    name = "el"
    tool = "kdumpctl"
    installers: tuple[str, ...] = ("dnf", "yum")
    files: tuple[str, ...] = (_CONFIGURATION, _SYSCONFIG)

    markers = Markers(
        phases=(
            # dump_fs() has seen that the target is mounted, dump_ssh() and dump_raw() are about to write.
            (Phase.TARGET_MOUNTED, re.compile(rf"{_SAYS}saving to ")),
            (Phase.DMESG_SAVED, re.compile(rf"{_SAYS}saving vmcore-dmesg\.txt complete")),
            (Phase.DUMP_STARTED, re.compile(rf"{_SAYS}saving vmcore(?! complete| failed|[-\w])")),
            (Phase.DUMP_SAVED, re.compile(rf"{_SAYS}saving vmcore complete")),
        ),
        failed=re.compile(
            r"makedumpfile Failed\."
            rf"|{_SAYS}(?:saving vmcore(?:-dmesg\.txt)? failed|(?:sync|moving) vmcore failed"
            r"|failed to dump to |Failed to mount rootfs|kdump_pre script exited with non-zero status"
            r"|get_host_ip exited with non-zero status|Oops\. The network still isn't ready)"
        ),
        waits=re.compile(r"Entering kdump emergency mode"),
        # wait_online_network() says so every second, for ten minutes.
        goes_on=re.compile(r"Waiting for network to be ready \("),
    )

    says_nothing_is_kept_aside = re.compile(r"No memory reserved for crash kernel")
    says_it_was_saved: re.Pattern[str] | None = None
    keeps: int | None = None

    # The capture reads the copies in its initramfs.
    settings: Mapping[str, ReadWhen] = MappingProxyType(
        {
            **dict.fromkeys(sorted(OPTIONS - {"default"}), ReadWhen.LOADING),
            "FADUMP_COMMANDLINE_APPEND": ReadWhen.LOADING,
            "KDUMP_COMMANDLINE": ReadWhen.LOADING,
            "KDUMP_COMMANDLINE_APPEND": ReadWhen.LOADING,
            "KDUMP_COMMANDLINE_REMOVE": ReadWhen.LOADING,
            "KDUMP_IMG": ReadWhen.LOADING,
            "KDUMP_KERNELVER": ReadWhen.LOADING,
            "KEXEC_ARGS": ReadWhen.LOADING,
        }
    )

    def __init__(self, config: KdumpConfig | None = None) -> None:
        config = config or KdumpConfig()
        self.remote = _remote(config)
        # A raw partition's are brought from there to the path, as the system boots again.
        self.elsewhere = "" if isinstance(config.target, RootDisk | Raw) else str(config.target)
        mounted = MOUNT_POINT if isinstance(config.target, Partition) else ""
        below = f"{mounted}/{config.path.strip('/')}".rstrip("/") or "/"
        self.core_directory = self.remote.folder if self.remote else below
        self.ends_with = config.final_action or FinalAction.REBOOT
        self.raw = isinstance(config.target, Raw)
        self.artifacts = _artifacts(config, self.remote)

    def translate(self, config: KdumpConfig) -> Translation:
        """/etc/kdump.conf, word by word."""
        return to_el(config)

    def configured(self, settings: Mapping[str, str]) -> "El":
        """Another path, machine, partition, or a raw one, whose dump kdumpctl brings to the path later."""
        config = _conf(settings)
        if isinstance(config.target, Virtiofs | DracutMount):
            raise BadInput(
                f"{config.target} takes dumps to where nobody looks for them yet on el",
                way_out="a path on the guest's own disk, a partition, ssh or nfs",
            )
        return El(config)

    def unfit_for_a_host(self, settings: Mapping[str, str], changed: Mapping[str, str]) -> str:
        """Its actions; a raw disk, its boot loader, and a capture that stays as it was built."""
        config, asked = _conf(settings), _conf(changed)
        for option, action in (
            ("final_action", config.final_action),
            ("failure_action", config.failure_action),
        ):
            if action not in {None, FinalAction.REBOOT, FailureAction.REBOOT, FailureAction.DUMP_TO_ROOTFS}:
                return f"{option} {action}"
        if isinstance(asked.target, Raw):
            return str(asked.target)
        if asked.auto_reset_crashkernel:
            return "auto_reset_crashkernel yes"
        # need_initrd_rebuild() of kdumpctl returns at it: what is put back would never be built in again.
        return "force_no_rebuild 1" if changed and config.force_no_rebuild else ""

    def install(self, shell: Shell, until: Deadline) -> None:
        """kdump-utils, or kexec-tools where kdumpctl is still part of it."""
        script = """
        for installer in dnf yum; do command -v $installer > /dev/null && break; done
        $installer --assumeyes install kdump-utils || $installer --assumeyes install kexec-tools
        command -v kdumpctl > /dev/null && systemctl enable kdump.service || exit 1
        systemctl start kdump.service || :
        """
        shell.run("sh", "-c", script, until=until)

    def boot_loader(self, shell: Shell, until: Deadline) -> BootLoader:
        """By grubby where it is there, as kdumpctl itself takes it; else GRUB's own defaults."""
        if shell.attempt("sh", "-c", "command -v grubby", until=until).status == 0:
            return Grubby()
        # On EFI systems before RHEL 9 that link leads to the EFI partition.
        links = ("readlink", "-e", "/etc/grub2-efi.cfg", "/etc/grub2.cfg", "/boot/grub2/grub.cfg")
        found = shell.attempt(*links, until=until).stdout.split()
        goal = found[0] if found else "/boot/grub2/grub.cfg"
        return GrubDefaults("GRUB_CMDLINE_LINUX", ("grub2-mkconfig", "-o", goal))

    def own_crashkernel(self, shell: Shell, until: Deadline) -> str | None:
        """By kdumpctl, else by the kernel's own file."""
        for command in (("kdumpctl", "get-default-crashkernel"), ("sh", "-c", _KERNELS_DEFAULT)):
            said = shell.attempt(*command, until=until)
            if said.status == 0 and (value := said.stdout.strip().removeprefix("crashkernel=")):
                return value
        return None

    def restart(self, shell: Shell, until: Deadline) -> None:
        """By systemd, so that its view is the true one. Builds the initramfs if a setting is another."""
        shell.attempt("systemctl", "restart", _SERVICE, until=until)

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """As kdump's scripts read /etc/kdump.conf, and a shell /etc/sysconfig/kdump."""
        asked = tuple(names)
        said = {line.name: line.value for line in lines_of(shell.run("cat", _CONFIGURATION, until=until))}
        said.setdefault("failure_action", said.get("default", ""))
        told = {name: said.get(name, "") for name in asked if not name.isupper()}
        if others := [name for name in asked if name.isupper()]:
            told |= ShellSettings(_SYSCONFIG).told(shell, others, until)
        return {name: told[name] for name in asked}

    def write(self, shell: Shell, settings: Mapping[str, str], until: Deadline) -> Written:
        """Other lines instead of those of the same names."""
        written = Written.of(self, self.told(shell, settings, until), settings)
        if sysconfig := {name: value for name, value in written.changed.items() if name.isupper()}:
            ShellSettings(_SYSCONFIG).append(shell, sysconfig, until)
        if options := {name: value for name, value in written.changed.items() if not name.isupper()}:
            text = shell.run("cat", _CONFIGURATION, until=until)
            renamed = not options.get("failure_action") or self._knows(shell, "failure_action", until)
            new = with_options(text, options, failure_action="failure_action" if renamed else "default")
            shell.run("sh", "-c", 'printf %s "$1" > "$0"', _CONFIGURATION, new, until=until)
        return written

    def arm(self, shell: Shell, written: Written, until: Deadline) -> None:
        """A restart, which builds the initramfs; kdumpctl wants to be let in at the target then."""
        self.restart(shell, until)
        asked = (printed(name, value) for name, value in written.changed.items() if value)
        unit.require_loaded(shell, asked, lambda: self.state(shell, until).said, until)

    def _knows(self, shell: Shell, option: str, until: Deadline) -> bool:
        """Whether this kdumpctl, which is a script, has the word at all: RHEL 7 has `default` alone."""
        script = 'grep -q -w -e "$0" "$(command -v kdumpctl)"'
        return shell.attempt("sh", "-c", script, option, until=until).status == 0

    def settle(self, shell: Shell, until: Deadline) -> None:
        """The service is part of the boot, and arms long after the first login."""
        unit.settle(shell, _SERVICE, until)

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """As systemd and the kernel see it. `kdumpctl status` would wait while it is arming."""
        return unit.state_of(shell, _SERVICE, until)

    def propagate(self, shell: Shell, until: Deadline) -> None:
        """`kdumpctl propagate`."""
        done = shell.attempt("kdumpctl", "propagate", until=until)
        if done.status != 0:
            raise NotArmed(f"kdumpctl could not propagate its key to {self.remote}", it_says=done.said)

    def try_remote(self, shell: Shell, until: Deadline) -> Output:
        """With the words of kdumpctl and mkdumprd, but that nobody waits for long."""
        remote = self.remote
        assert remote
        if remote.topology is Topology.SSH_DUMP:
            patience = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15")
            ssh = ("ssh", "-i", remote.key, *patience, f"{remote.user}@{remote.host}")
            return shell.attempt(*ssh, "mkdir", "-p", remote.folder, until=until)
        mount = 'mount "$1" /mnt -t nfs -o defaults && umount /mnt'
        return shell.attempt("sh", "-c", mount, "try", f"{remote.host}:{remote.export}", until=until)

    def sender_of(self, directory: DumpDirectory) -> str:
        """What stands before the time of the crash: an address, 127.0.0.1 where nothing is sent."""
        return re.sub(r"-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d$", "", directory.name)

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Directories named HOST-YYYY-MM-DD-HH:MM:SS; without a host and seconds if kdumpctl made them."""
        if self.raw:
            self.settle(shell, until)
        pattern = r"\d{4}-\d\d-\d\d-\d\d:\d\d" if self.raw else r"\S+-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d"
        found = dump_directories(shell, self.core_directory, until)
        return tuple(each for each in found if re.fullmatch(pattern, each.name))


def with_options(text: str, options: Mapping[str, str], failure_action: str = "failure_action") -> str:
    """kdump.conf with these options, empty ones left out. Comments stay; so do all other lines.

    ``failure_action`` is how this kdumpctl calls that option.
    """
    gone = {line.number for line in lines_of(text) if line.name in {*options, *_also_called(options)}}
    kept = [line for number, line in enumerate(text.split("\n"), 1) if number not in gone]
    said = {failure_action if name == "failure_action" else name: value for name, value in options.items()}
    new = [printed(name, value) for name, value in said.items() if value]
    return "\n".join([*"\n".join(kept).rstrip("\n").split("\n"), *new, ""])


def _also_called(options: Mapping[str, str]) -> set[str]:
    return {"default"} if "failure_action" in options else set()


def _remote(config: KdumpConfig) -> Remote | None:
    match config.target:
        case Ssh(user=user, host=host):
            if not config.path.startswith("/"):
                raise BadInput(
                    f"path {config.path} is one of {user}'s home on {host}, where nobody looks for dumps",
                    way_out="a full path",
                )
            key = config.sshkey or _KEY
            return Remote(Topology.SSH_DUMP, host, config.path.rstrip("/") or "/", user, key)
        case Nfs(server=server, export=export):
            folder = f"{export.rstrip('/')}/{config.path.strip('/')}".rstrip("/") or "/"
            return Remote(Topology.NFS_DUMP, server, folder, export=export)
        case _:
            return None


def _conf(settings: Mapping[str, str]) -> KdumpConfig:
    """Of all settings, what /etc/kdump.conf says."""
    said = [printed(name, value) for name, value in settings.items() if value and not name.isupper()]
    return parse_kdump_conf("\n".join(said))


def _artifacts(config: KdumpConfig, remote: Remote | None) -> Artifacts:
    collector = config.core_collector
    program = collector.program.rsplit("/", 1)[-1] if isinstance(collector, Command) else ""
    if isinstance(config.target, Raw):
        # save_raw(): nothing else comes through a pipe.
        return Artifacts(Artifact(re.compile(r"vmcore"), 0o600), None)
    if isinstance(config.target, Ssh) and remote:
        # dump_ssh(): whatever comes through a pipe is called flat.
        name, mode = ("vmcore", 0o400) if program == "scp" else (r"vmcore\.flat", 0o600)
        each = (Artifact(re.compile(name), mode), _VMCORE_DMESG, _KEXEC_DMESG)
        return Artifacts(*(replace(artifact, owner=remote.user) for artifact in each))
    # cp gives the copy the mode of /proc/vmcore.
    vmcore = Artifact(re.compile(r"vmcore"), 0o400 if program == "cp" else 0o600)
    return Artifacts(vmcore, _VMCORE_DMESG, _KEXEC_DMESG)
