"""A disk with a boot loader of its own, met for the first time: what is on it, and what it lacks for kdump.

It is booted once. What it lacks is installed, its kernel is copied out, and its overlay, shut down in order,
is what all guests of that disk are overlays of. The disk itself is never written to.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from kdump_tests.errors import GuestNotReached, ImageError, LabError
from kdump_tests.guest.build import kernel_release
from kdump_tests.guest.cache import locked, publish, remove_tree, staging
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.door import door
from kdump_tests.guest.image import KERNEL_COPY, BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy
from kdump_tests.guest.spec import GuestSpec, short_name
from kdump_tests.stacks.detection import detect, has, installed, require
from kdump_tests.stacks.stack import Stack
from kdump_tests.steps import step

_RECORD = "introduction.json"
_DISK = "disk.qcow2"
# Of the reference machine. What is installed makes initrds for every kernel, minutes each under TCG.
_INSTALL_SECONDS = 3600.0
_MEET_SECONDS = 5400.0
_LARGEST_KERNEL = 256 << 20
_AUTO = "auto"


def introduced(image: BuiltImage, stack: str, cache: Path) -> BuiltImage | None:
    """The image as it is after it was met, None if it was not yet. ``stack`` names one, or is auto."""
    folder = _folder(image, stack, cache)
    try:
        told = json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    return replace(
        image,
        image=image.image.model_copy(update={"stack": told["stack"]}),
        folder=folder,
        digest=told["digest"],
        kernel_release=told["kernel_release"],
        crashkernel=told["crashkernel"],
        brought=DiskFile(folder / _DISK, "qcow2", told["size"]),
    )


def introduce(
    image: BuiltImage, stacks: Mapping[str, Stack], stack: str, cache: Path, lab: Lab, spec: GuestSpec,
    folder: Path,
) -> BuiltImage:  # fmt: skip
    """Meet an image, whoever is first; all others wait. ``folder`` gets the console of that guest.

    Raises:
        ImageError: there is no kdump on it that the suite knows, or what it lacks cannot be installed.
        GuestNotReached, GuestLost: it does not boot, or does not let us in.
    """
    goal = _folder(image, stack, cache)
    until = lab.accelerator.deadline(_MEET_SECONDS, f"{spec.name} is met for the first time")
    with locked(cache / "locks" / f"introduced {goal.parent.name}.lock", until):
        if known := introduced(image, stack, cache):
            return known
        with staging(goal.parent) as new:
            outlived = tuple(_outlived(goal.parent, image.disk))
            with _entered(lab, spec, image, folder) as guest:
                _meet(guest, image, stacks, stack, new)
            for old in outlived:
                remove_tree(old)
            publish(new, goal)
    known = introduced(image, stack, cache)
    assert known
    return known


@contextmanager
def _entered(lab: Lab, spec: GuestSpec, image: BuiltImage, folder: Path) -> Iterator[Guest]:
    """The machine for the first time: what it is like is not known, so it is told what it must have."""
    with ExitStack() as stack:
        try:
            guest = stack.enter_context(lab.guest(spec, image, folder))
        except GuestNotReached as error:
            facts = {"reason": error.message, **error.facts}
            raise ImageError(
                f"nobody can enter a machine of {image.image.name}",
                way_out="it must boot by this firmware (--firmware), print to its serial console, and have "
                "cloud-init with NoCloud and an SSH server",
                **facts,
            ) from None
        yield guest


def _meet(guest: Guest, image: BuiltImage, stacks: Mapping[str, Stack], asked: str, new: Path) -> None:
    stack = _kdump_of(guest, stacks, asked)
    copy = _copy_kernel(guest, new)
    record = {
        "stack": stack.name,
        "digest": hashlib.sha256(f"{image.digest} {stack.name}".encode()).hexdigest()[:24],
        "kernel_release": kernel_release(copy.read_bytes()),
        "crashkernel": stack.own_crashkernel(guest.shell, guest.command_deadline()),
        "size": image.disk_size,
        "disk": str(image.disk),
    }
    with step(guest.name, "shutting down, to be kept"):
        guest.power_off()
    assert guest.root_disk
    shutil.move(guest.root_disk, new / _DISK)
    (new / _RECORD).write_text(json.dumps(record))


def _kdump_of(guest: Guest, stacks: Mapping[str, Stack], asked: str) -> Stack:
    """What is installed, or else what is asked for, or can be: then it is."""
    shell, until = guest.shell, guest.command_deadline()
    if installed(shell, stacks, until):
        if asked == _AUTO:
            return detect(shell, stacks, until)
        require(shell, stacks[asked], stacks, until)
        return stacks[asked]
    stack = stacks[asked] if asked in stacks else _to_be_installed(guest, stacks)
    until = guest.deadline(_INSTALL_SECONDS, f"kdump is installed ({stack.name})")
    with step(guest.name, f"installing kdump ({stack.name})"):
        try:
            with door(shell, until):
                require(shell, stack, stacks, until)
        except LabError as error:
            raise ImageError(
                f"{guest.name} has no kdump, and it cannot be installed",
                reason=error.message,
                said=error.facts.get("said") or error.facts.get("reason", ""),
                way_out="an image that has it, or one whose repositories answer from here",
            ) from None
    return stack


def _to_be_installed(guest: Guest, stacks: Mapping[str, Stack]) -> Stack:
    """The one stack that the system's own installer brings."""
    until = guest.command_deadline()
    for stack in stacks.values():
        if has(guest.shell, stack.installers, until):
            return stack
    told = guest.shell.attempt("cat", "/etc/os-release", until=until).stdout
    system = next((line for line in told.splitlines() if line.startswith("PRETTY_NAME=")), "")
    raise ImageError(
        f"{guest.name} has no kdump that this suite knows, and nothing to install one with",
        it_is=ascii(system.removeprefix("PRETTY_NAME=").strip('"'))[1:-1][:100],
        known=", ".join(stacks),
        looked_for=", ".join(name for stack in stacks.values() for name in stack.installers),
    )


def _copy_kernel(guest: Guest, new: Path) -> Path:
    """The kernel that runs, out of /boot, to be asked alone what it keeps aside."""
    until = guest.command_deadline()
    release = guest.read("/proc/sys/kernel/osrelease").strip()
    path = f"/boot/vmlinuz-{release}"
    said = guest.shell.run("stat", "--dereference", "--format=%s", "--", path, until=until).strip()
    if not said.isdecimal() or int(said) > _LARGEST_KERNEL:
        raise ImageError(f"{guest.name}: {path} is no kernel", size=said[:40])
    guest.fetch([Copy(path, new / KERNEL_COPY, int(said))], guest.deadline(120, f"{path} is copied"))
    return new / KERNEL_COPY


def _outlived(folder: Path, disk: Path) -> Iterator[Path]:
    """What was kept of this disk before it was changed, and of disks that are gone.

    Not of others that bear the same name: guests of theirs may run.
    """
    for record in folder.glob(f"*/{_RECORD}"):
        of = Path(json.loads(record.read_text()).get("disk", disk))
        if of == disk or not of.exists():
            yield record.parent


def _folder(image: BuiltImage, stack: str, cache: Path) -> Path:
    return cache / "introduced" / short_name(image.image.name) / f"{image.digest}-{stack}"
