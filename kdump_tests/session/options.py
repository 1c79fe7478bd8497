"""What can be asked of a run: pytest's options, and the plan that they make."""

import argparse

import pytest

from kdump_tests.crash.trigger import Trigger
from kdump_tests.plan import Plan
from kdump_tests.stacks import STACKS


def add_to(parser: pytest.Parser) -> None:
    """The choices that make a plan."""
    group = parser.getgroup("kdump-verify", "what to verify")
    group.addoption(
        "--image", metavar="NAME|PATH",
        help="guest image: a folder of images/, or a whole disk of yours (qcow2, raw, vmdk) with cloud-init "
             "(never written to); a path has a slash in it (default: debian-12)",
    )  # fmt: skip
    group.addoption(
        "--firmware", metavar="bios|uefi|secure-boot",
        help="what starts a disk that has a boot loader of its own (default: bios)",
    )  # fmt: skip
    group.addoption(
        "--stack", metavar="NAME|auto",
        help=f"which kdump the guests have: {', '.join(STACKS)} (installed where there is none), or 'auto' "
             "for whichever is installed (default: what the image's description says)",
    )  # fmt: skip
    group.addoption(
        "--memory", metavar="LIST",
        help="memory tiers, comma-separated; what the host cannot boot is probed, and the first one that is "
             "booted and promised a reservation is crashed (default: 1G,2G,4G,8G)",
    )  # fmt: skip
    group.addoption(
        "--crashkernel", metavar="VALUE",
        help="crashkernel= of the guests: any value the kernel takes, or 'none'; "
             "'auto' (default) becomes the distribution's own where the kernel does not know it",
    )  # fmt: skip
    group.addoption(
        "--policy", metavar="NAME|PATH.toml",
        help="what 'auto' becomes where the kernel does not know it: "
             "one that `kdump-verify expect --help` lists, or a file of your own",
    )  # fmt: skip
    group.addoption(
        "--kernel-argument", metavar="WORD", action="append", default=[],
        help="a further word for the guests' kernel command line; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--kdump-conf", metavar="PATH",
        help="how the guests' kdump is configured, in the language of /etc/kdump.conf whatever their "
             "distribution; what it has no word for is skipped by name. A target on a host called "
             "dump-server is a second guest",
    )  # fmt: skip
    group.addoption(
        "--kdump-setting", metavar="NAME=VALUE", action="append", default=[],
        help="a setting of the guests' kdump, in the words of its own configuration file; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--nfs-version", metavar="3|4", help="what the dump server of an NFS target speaks (default: 4)"
    )
    group.addoption(
        "--trigger", metavar="LIST|all",
        help=f"how the kernel is crashed, each time in a guest of its own: {', '.join(map(str, Trigger))} "
             "(default: sysrq-c)",
    )  # fmt: skip
    group.addoption(
        "--vmlinux", metavar="PATH",
        help="the guests' kernel with debug information, or a folder that holds it (default: looked for by "
             "its build ID; `kdump-verify image debuginfo NAME` fetches it)",
    )  # fmt: skip
    group.addoption(
        "--kernel", metavar="PATH",
        help="a kernel of yours for guests of an image of the project, with --modules and perhaps --initrd",
    )  # fmt: skip
    group.addoption(
        "--modules", metavar="DIR|PACKAGE",
        help="its modules: what `make modules_install INSTALL_MOD_PATH=DIR` fills, or a .deb or .rpm",
    )  # fmt: skip
    group.addoption(
        "--initrd", metavar="PATH", help="its initrd (default: made of --modules, in a guest, once)"
    )
    group.addoption(
        "--host", metavar="USER@NAME[:PORT]",
        help="verify a machine that exists, over SSH, not guests; only looked at without --allow-crash",
    )  # fmt: skip
    group.addoption(
        "--allow-crash", metavar="HOSTNAME",
        help="crash the machine of --host: its own hostname, spelled out; any other name ends the run",
    )  # fmt: skip
    group.addoption(
        "--allow-busy", action="store_true", help="crash it although users are logged in or --spare runs"
    )
    group.addoption(
        "--spare", metavar="SERVICE", action="append", default=[],
        help="do not crash the machine of --host while this service runs; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--identity", metavar="PATH", help="the key that opens the machine of --host (default: as for ssh)"
    )
    group.addoption(
        "--console", metavar="COMMAND",
        help="a command that shows the console of --host, as 'ipmitool … sol activate' does; without one "
             "the phases of a crash come from what it leaves",
    )  # fmt: skip
    group.addoption(
        "--patience", metavar="FACTOR",
        help="stretches the deadlines of --host (default: 1, by which it must be back within 40 minutes)",
    )  # fmt: skip
    group.addoption("--vcpus", metavar="N", help="CPUs of each guest (default: 1)")
    group.addoption(
        "--accel", metavar="auto|kvm|tcg",
        help="'auto' (default) takes KVM if a kernel boots under it, else TCG",
    )  # fmt: skip
    group.addoption(
        "--cold", action="store_true",
        help="boot every guest, instead of forking it from the state of one that was armed before",
    )  # fmt: skip
    group.addoption(
        "--connect", metavar="URI", help="libvirt (default: qemu:///embed, which needs no daemon)"
    )
    # pytest keeps short options of one small letter to itself; this one is what pytest-xdist made usual.
    group._addoption(
        "-n", "--side-by-side", metavar="N", type=_positive, default=None,
        help="at most so many guests at once (default: as many as this host has cores and memory for)",
    )  # fmt: skip
    group.addoption(
        "--reports", metavar="DIR", default="reports", help="where reports go (default: %(default)s)"
    )


def _positive(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of guests: 1, 2, 3, … or auto")
    return int(text)


def plan_of(option: argparse.Namespace) -> Plan:
    """The plan.

    Raises:
        LabError: it cannot be carried out; it names the option.
    """
    return Plan.of(
        image=option.image,
        stack_name=option.stack,
        firmware=option.firmware,
        kernel=option.kernel,
        initrd=option.initrd,
        modules=option.modules,
        memory=option.memory,
        crashkernel=option.crashkernel,
        policy=option.policy,
        kernel_arguments=tuple(option.kernel_argument),
        vcpus=option.vcpus,
        accelerator=option.accel,
        connect=option.connect,
        host=option.host,
        allow_crash=option.allow_crash,
        allow_busy=option.allow_busy,
        spare=tuple(option.spare),
        identity=option.identity,
        console=option.console,
        patience=option.patience,
        cold=option.cold,
        vmlinux=option.vmlinux,
        triggers=option.trigger,
        nfs_version=option.nfs_version,
        kdump_conf=option.kdump_conf,
        kdump_settings=tuple(option.kdump_setting),
    )
