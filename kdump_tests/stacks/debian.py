"""kdump-tools, of Debian and its kin. Read in kdump-config and its service of 1.8.1, 1.10.7 and 1.10.9."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, NotArmed
from kdump_tests.guest.shell import Output, Shell
from kdump_tests.stacks import unit
from kdump_tests.stacks.boot_loader import BootLoader, GrubSnippet
from kdump_tests.stacks.kdump_conf import FinalAction, KdumpConfig
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
from kdump_tests.stacks.topology import Remote, Topology
from kdump_tests.stacks.translation import Translation, to_debian

_SERVICE = "kdump-tools.service"
_CONFIGURATION = "/etc/default/kdump-tools"
_GRUB_SNIPPET = "/etc/default/grub.d/kdump-tools.cfg"
# KDUMP_COREDIR's default, and SSH_KEY's.
_CORE_DIRECTORY = "/var/crash"
_KEY = "/root/.ssh/kdump_id_rsa"

_LOCAL_FILE_SYSTEMS = re.compile(r"Reached target .*local-fs\.target|Reached target Local File Systems")
_DMESG_SAVED = (Phase.DMESG_SAVED, re.compile(r"saved dmesg content (in|via FTP in) "))
# Also `cp`, its fallback: what counts is that /proc/vmcore is being read.
_RUNNING = re.compile(r"running makedumpfile .*\| *compress|running cp /proc/vmcore")
_SENDING = re.compile(r"sending (makedumpfile .* )?/proc/vmcore (to|via FTP to) ")
_DUMP_SAVED = (Phase.DUMP_SAVED, re.compile(r"saved vmcore (in|via FTP in) "))
# makedumpfile's own word counts: kdump-config takes the status of the pipe's last part, so it calls
# a dump saved when makedumpfile failed and `cat` or ssh did not (1.8.1 to 1.10.9). Its shell tells who was
# killed for want of memory, as xz is in the 128 MiB that Debian keeps aside.
_FAILED = (
    r"makedumpfile Failed\.|kdump-tools\[\d+\]: Killed\b|"
    r"failed to save (vmcore|dmesg content) (in|via FTP in) "
)

# A capture that sends has to bring up the network, and to find the other machine there. Without a network it
# goes on after the 120 s by the clock that systemd-networkd-wait-online takes (its --timeout).
_NETWORK_COMES = re.compile(
    rf"{_LOCAL_FILE_SYSTEMS.pattern}|Reached target .*network-online\.target|"
    "Reached target Network is Online|Network not reachable; will try|"
    r"Job systemd-networkd-wait-online\S+ running \((1min )?\d+s "
)

_MARKERS: Mapping[Topology, Markers] = MappingProxyType(
    {
        Topology.LOCAL_DUMP: Markers(
            phases=(
                (Phase.TARGET_MOUNTED, _LOCAL_FILE_SYSTEMS),
                _DMESG_SAVED,
                (Phase.DUMP_STARTED, _RUNNING),
                _DUMP_SAVED,
            ),
            failed=re.compile(_FAILED),
        ),
        Topology.NFS_DUMP: Markers(
            phases=(
                (Phase.TARGET_MOUNTED, re.compile(r"Dumping to NFS mountpoint ")),
                _DMESG_SAVED,
                (Phase.DUMP_STARTED, _RUNNING),
                _DUMP_SAVED,
            ),
            failed=re.compile(
                rf"{_FAILED}|Unable to (mount|write to the) remote NFS directory |mount\.nfs: access denied"
            ),
            goes_on=_NETWORK_COMES,
        ),
        # Nothing is said of the login that made the directory, but without it the log is not even read.
        # ssh's words come with every try, kdump-config's after the last.
        Topology.SSH_DUMP: Markers(
            phases=(
                (Phase.TARGET_MOUNTED, re.compile(r"running makedumpfile --dump-dmesg ")),
                _DMESG_SAVED,
                (Phase.DUMP_STARTED, _SENDING),
                _DUMP_SAVED,
            ),
            failed=re.compile(
                rf"{_FAILED}|Unable to reach remote server |Permission denied \(|"
                "Host key verification failed"
            ),
            goes_on=_NETWORK_COMES,
        ),
        # Each file is a login of its own, and the first that is told of is the log's.
        Topology.FTP_DUMP: Markers(
            phases=(_DMESG_SAVED, (Phase.DUMP_STARTED, _SENDING), _DUMP_SAVED),
            failed=re.compile(rf"{_FAILED}|ftpput: "),
            goes_on=_NETWORK_COMES,
        ),
    }
)

# KDUMP_COMPRESSION, and what it adds to the dump's name. A program that is missing is said in passing, and
# the dump saved as it is: its name tells. Where nothing was asked for, the machine's own setting counts.
_EXTENSIONS = MappingProxyType({"": "", "bzip2": "bz2", "gzip": "gz", "lz4": "lz4", "xz": "xz"})
_ANY_EXTENSION = rf"(\.({'|'.join(filter(None, _EXTENSIONS.values()))}))?"
# The dump is written through a shell redirection, so the umask decides: 0644, where makedumpfile itself
# would have made it 0600. That is what 1.8.1 to 1.10.9 do, and what is held against them.
_VMCORE_MODE, _DMESG_MODE = 0o644, 0o600


def _artifacts(settings: Mapping[str, str], remote: Remote | None) -> Artifacts:
    packed = _extension(settings["KDUMP_COMPRESSION"]) if "KDUMP_COMPRESSION" in settings else _ANY_EXTENSION
    keeps_log = settings.get("KDUMP_DUMP_DMESG", "") in {"", "1"}
    owner = remote.user if remote else "root"
    if remote and remote.topology is Topology.FTP_DUMP:
        # No directory is made, and vsftpd's umask is 077.
        vmcore = Artifact(re.compile(rf"\S+-dump\.\d{{12}}{packed}"), 0o600, owner)
        dmesg = Artifact(re.compile(r"\S+-dmesg\.\d{12}"), 0o600, owner)
    else:
        vmcore = Artifact(re.compile(rf"dump\.\d{{12}}{packed}"), _VMCORE_MODE, owner)
        dmesg = Artifact(re.compile(r"dmesg\.\d{12}"), _DMESG_MODE, owner)
    return Artifacts(vmcore, dmesg if keeps_log else None)


def _number_of_dumps(settings: Mapping[str, str]) -> int | None:
    """Older ones are removed for it, of those on the machine itself."""
    told = settings.get("KDUMP_NUM_DUMPS") or "0"
    if not (told.isascii() and told.isdecimal()):
        raise BadInput(f"KDUMP_NUM_DUMPS={told} is no number of dumps", way_out="0 for as many as come")
    return int(told) or None


def _extension(compression: str) -> str:
    if compression not in _EXTENSIONS:
        raise BadInput(
            f"kdump-config would pack nothing by KDUMP_COMPRESSION={compression}",
            known=", ".join(filter(None, _EXTENSIONS)),
        )
    return re.escape(f".{_EXTENSIONS[compression]}") if compression else ""


_REBOOTS = re.compile(r"\breboot\b")


class Debian:
    """The capture kernel boots the ordinary root file system into kdump-tools-dump.service, which saves."""

    name = "debian"
    tool = "kdump-config"
    installers: tuple[str, ...] = ("apt-get",)
    files: tuple[str, ...] = (_CONFIGURATION,)
    markers = _MARKERS[Topology.LOCAL_DUMP]
    artifacts = _artifacts({}, None)

    # kdump-config's own word where the command line has no crashkernel=, else kexec's.
    ends_with = FinalAction.REBOOT
    says_nothing_is_kept_aside = re.compile(
        r"no crashkernel= parameter in the kernel cmdline|Memory for crashkernel is not reserved"
    )

    says_it_was_saved: re.Pattern[str] | None = None

    # kdump-config reads the file each time, but what it hands to kexec stays as it was loaded.
    settings: Mapping[str, ReadWhen] = MappingProxyType(
        {
            "FTP": ReadWhen.CAPTURING,
            "FTP_PASSWORD": ReadWhen.CAPTURING,
            "FTP_USER": ReadWhen.CAPTURING,
            "HOSTTAG": ReadWhen.CAPTURING,
            "KDUMP_CMDLINE": ReadWhen.LOADING,
            "KDUMP_CMDLINE_APPEND": ReadWhen.LOADING,
            "KDUMP_COMPRESSION": ReadWhen.CAPTURING,
            "KDUMP_COREDIR": ReadWhen.CAPTURING,
            "KDUMP_KEXEC_ARGS": ReadWhen.LOADING,
            "KDUMP_DUMP_DMESG": ReadWhen.CAPTURING,
            "KDUMP_FAIL_CMD": ReadWhen.CAPTURING,
            "KDUMP_INITRD": ReadWhen.LOADING,
            "KDUMP_KERNEL": ReadWhen.LOADING,
            "KDUMP_NUM_DUMPS": ReadWhen.CAPTURING,
            "MAKEDUMP_ARGS": ReadWhen.CAPTURING,
            "NFS": ReadWhen.CAPTURING,
            "NFS_MOUNT_RETRY": ReadWhen.CAPTURING,
            "NFS_RETRANS": ReadWhen.CAPTURING,
            "NFS_TIMEO": ReadWhen.CAPTURING,
            "SSH": ReadWhen.CAPTURING,
            "SSH_KDUMP_RETRY": ReadWhen.CAPTURING,
            "SSH_KEY": ReadWhen.CAPTURING,
            "USE_KDUMP": ReadWhen.LOADING,
        }
    )

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        directory = settings.get("KDUMP_COREDIR") or _CORE_DIRECTORY
        if not directory.startswith("/"):
            raise BadInput(f"KDUMP_COREDIR={directory} is not a full path")
        directory = directory.rstrip("/") or "/"
        self.remote = _remote(settings, directory)
        self.elsewhere = f"{self.remote.topology} to {self.remote}" if self.remote else ""
        self.core_directory = self.remote.folder if self.remote else directory
        self.artifacts = _artifacts(settings, self.remote)
        self.keeps = None if self.remote else _number_of_dumps(settings)
        if self.remote:
            self.markers = _MARKERS[self.remote.topology]

    def translate(self, config: KdumpConfig) -> Translation:
        """/etc/default/kdump-tools."""
        return to_debian(config)

    def configured(self, settings: Mapping[str, str]) -> "Debian":
        """Another KDUMP_COREDIR, or another machine; packed or not, with a kernel log or without."""
        return Debian(settings)

    def unfit_for_a_host(self, settings: Mapping[str, str], changed: Mapping[str, str]) -> str:
        """A KDUMP_FAIL_CMD that is no reboot; without one kdump-config reboots."""
        command = settings.get("KDUMP_FAIL_CMD", "")
        return f"KDUMP_FAIL_CMD={command}" if command and not _REBOOTS.search(command) else ""

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """As the shell reads the file; empty where it says nothing."""
        return ShellSettings(_CONFIGURATION).told(shell, names, until)

    def write(self, shell: Shell, settings: Mapping[str, str], until: Deadline) -> Written:
        """Lines at the end of the file, where the last word counts."""
        written = Written.of(self, self.told(shell, settings, until), settings)
        ShellSettings(_CONFIGURATION).append(shell, written.changed, until)
        return written

    def arm(self, shell: Shell, written: Written, until: Deadline) -> None:
        """`kdump-config reload`."""
        reload = shell.attempt("kdump-config", "reload", until=until)
        unit.require_loaded(shell, lines(written.changed), lambda: reload.said, until)

    def install(self, shell: Shell, until: Deadline) -> None:
        """kdump-tools, which is armed from the next boot on, as its snippet for GRUB says."""
        # Descriptions are as long as all else of the lists, and nobody reads them here.
        quietly = (
            "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--option=Acquire::Languages=none"
        )  # fmt: skip
        shell.run(*quietly, "update", until=until)
        shell.run(*quietly, "install", "--yes", "kdump-tools", until=until)

    def boot_loader(self, shell: Shell, until: Deadline) -> BootLoader:
        """The snippet that the package brings."""
        return GrubSnippet(_GRUB_SNIPPET)

    def own_crashkernel(self, shell: Shell, until: Deadline) -> str | None:
        """What that snippet says."""
        return GrubSnippet(_GRUB_SNIPPET).reserved(shell, until)

    def restart(self, shell: Shell, until: Deadline) -> None:
        """By systemd, so that its view is the true one."""
        shell.attempt("systemctl", "restart", _SERVICE, until=until)

    def settle(self, shell: Shell, until: Deadline) -> None:
        """The service is part of the boot."""
        unit.settle(shell, _SERVICE, until)

    def state(self, shell: Shell, until: Deadline) -> KdumpState:
        """As systemd and the kernel see it."""
        return unit.state_of(shell, _SERVICE, until)

    def propagate(self, shell: Shell, until: Deadline) -> None:
        """`kdump-config propagate`."""
        done = shell.attempt("kdump-config", "propagate", until=until)
        if done.status != 0:
            raise NotArmed(
                f"kdump-config could not propagate its key to {self.remote}",
                it_says=done.said,
            )

    def try_remote(self, shell: Shell, until: Deadline) -> Output:
        """With the very words of kdump-config, but that nobody waits for a password or for long."""
        remote = self.remote
        assert remote
        match remote.topology:
            case Topology.SSH_DUMP:
                patience = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15")
                ssh = ("ssh", *patience, "-i", remote.key, f"{remote.user}@{remote.host}")
                return shell.attempt(*ssh, "true", until=until)
            case Topology.NFS_DUMP:
                mount = 'mount -t nfs -o nolock -o tcp -o soft -o timeo=50 "$1" /mnt && umount /mnt'
                return shell.attempt("sh", "-c", mount, "try", f"{remote.host}:{remote.folder}", until=until)
            case _:
                ftp = ("busybox", "ftpget", "-u", remote.user, "-p", remote.password, remote.host)
                return shell.attempt(*ftp, "/dev/null", "/etc/hostname", until=until)

    def sender_of(self, directory: DumpDirectory) -> str:
        """What stands before the time of the crash, in the directory's name or over FTP in the files'."""
        if self.remote and self.remote.topology is Topology.FTP_DUMP:
            return directory.files[0].name.rpartition("-")[0]
        return directory.name.rpartition("-")[0]

    def dumps(self, shell: Shell, until: Deadline) -> tuple[DumpDirectory, ...]:
        """Directories named YYYYMMDDHHMM, behind the sender's name if there is one.

        kdump-tools keeps other files of its own beside them.
        """
        if self.remote and self.remote.topology is Topology.FTP_DUMP:
            beside = dump_directories(shell, self.core_directory.rpartition("/")[0] or "/", until)
            return tuple(each for each in beside if each.path == self.core_directory and each.files)
        named = re.compile(r"\S+-\d{12}" if self.remote else r"\d{12}")
        found = dump_directories(shell, self.core_directory, until)
        return tuple(each for each in found if named.fullmatch(each.name))


def _remote(settings: Mapping[str, str], directory: str) -> Remote | None:
    """Where SSH, NFS or FTP send to."""
    named = [name for name in ("SSH", "NFS", "FTP") if settings.get(name)]
    if not named:
        return None
    if len(named) > 1:
        raise BadInput(f"{' and '.join(named)}: kdump-tools would save to each, and one is looked at")
    setting = f"{named[0]}={settings[named[0]]}"
    by_hostname = settings.get("HOSTTAG") == "hostname"
    if named[0] == "SSH":
        user, at, host = settings["SSH"].partition("@")
        if not (at and user and host):
            raise BadInput(f"{setting} is not of the form USER@HOST")
        key = settings.get("SSH_KEY") or _KEY
        return Remote(Topology.SSH_DUMP, host, directory, user, key, by_hostname=by_hostname)
    host, _, folder = settings[named[0]].partition(":")
    if not folder.startswith("/") or not folder.strip("/"):
        raise BadInput(f"{setting} is not of the form HOST:/FOLDER")
    folder = folder.rstrip("/")
    if named[0] == "NFS":
        return Remote(Topology.NFS_DUMP, host, folder, by_hostname=by_hostname)
    user, password = settings.get("FTP_USER", ""), settings.get("FTP_PASSWORD", "")
    if not (user and password):
        raise BadInput(f"{setting} needs FTP_USER and FTP_PASSWORD: nobody takes anonymous uploads here")
    return Remote(Topology.FTP_DUMP, host, folder, user, password=password, by_hostname=by_hostname)
