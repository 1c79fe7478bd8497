"""What this host can do: each finding with the way out when it is not good."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.deadline import Deadline
from kdump_tests.errors import KdumpVerifyError, ToolMissing
from kdump_tests.guest import hypervisor as hypervisors
from kdump_tests.guest.accelerator import choose
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.image import Image
from kdump_tests.guest.laboratory import Places
from kdump_tests.guest.run import new_run
from kdump_tests.sizes import GIB
from kdump_tests.subprocesses import program, run

# An image, its overlays with one dump each, and a report.
_DISK = 4 * GIB
# A guest of the smallest default tier and what QEMU, libvirt and the suite take beside it.
_MEMORY = 2 * GIB
_PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "setpriv", "unshare")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``way_out`` is empty when it is good."""

    subject: str
    state: str
    way_out: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.way_out


def examine(places: Places, connect: str) -> Iterator[Finding]:
    """Look at everything a run needs, one finding after the other."""
    for name in _PROGRAMS:
        yield _attempt(name, partial(_program, name))
    for architecture, emulation in EMULATIONS.items():
        if emulation.qemu not in _PROGRAMS:
            yield _emulator(architecture, emulation.qemu)
    yield _attempt("libvirt", partial(_libvirt, places, connect))
    yield _accelerator(places)
    yield _memory()
    for subject, folder in (("cache", places.cache), ("runs", places.runs)):
        yield _disk(subject, folder)
    yield _root()


def _attempt(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, look())
    except KdumpVerifyError as error:
        reason = error.facts.get("reason", "")
        state = f"{error.message}: {reason}" if reason else error.message
        return Finding(subject, state, error.facts.get("way out", "see the message"))


def _program(name: str) -> str:
    path = program(name)
    with suppress(KdumpVerifyError):
        return run([name, "--version"], Deadline.after(10, f"{name} says its version")).splitlines()[0]
    return path


def _emulator(architecture: str, name: str) -> Finding:
    """Without it this host is good for all but one thing."""
    try:
        return Finding(name, _program(name))
    except ToolMissing as error:
        return Finding(
            name,
            f"not installed, so no {architecture} kernel can be probed (package {error.facts['package']})",
        )


def _libvirt(places: Places, connect: str) -> str:
    with (
        new_run(places.runs, connect) as here,
        hypervisors.connected(connect, here.folder, places.cache) as hypervisor,
    ):
        versions = hypervisor.versions(Deadline.after(30, "libvirt says its version"))
    return f"{connect}: libvirt {versions['libvirt']}, QEMU {versions['qemu']}"


def _accelerator(places: Places) -> Finding:
    """By a kernel of whichever image is built; without one there is nothing to boot yet."""
    store = ImageStore(places.cache)
    for name in store.names():
        image = Image.load(name)
        built = store.find(image) if image.stack else None
        if built and built.kernel:
            return _attempt("accelerator", partial(_accelerated, built.kernel, places))
    device = (
        "/dev/kvm is there, which proves little" if Path("/dev/kvm").exists() else "there is no /dev/kvm"
    )
    return Finding(
        "accelerator", f"{device}; a kernel tells once an image is built (kdump-verify image build)"
    )


def _accelerated(kernel: Path, places: Places) -> str:
    chosen = choose("auto", kernel, places.cache)
    return f"{chosen.name} ({chosen.because}); deadlines are stretched by {chosen.factor:g}"


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    state = f"{free / GIB:.1f} GiB available"
    return Finding(
        "memory", state, "" if free >= _MEMORY else f"free some: a run needs {_MEMORY // GIB} GiB"
    )


def _disk(subject: str, folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    state = f"{free / GIB:.1f} GiB free for {folder}"
    variable = {"cache": "KDUMP_VERIFY_CACHE", "runs": "KDUMP_VERIFY_RUNS"}[subject]
    return Finding(
        subject, state, "" if free >= _DISK else f"free some, or point {variable} to a larger disk"
    )


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", "root: images can be built")
    return Finding("user", "not root: built images can be used, none can be built", "sudo, or run as root")
