"""A guest with all that a spec can ask for; the suite's own guests need less of it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy
from kdump_tests.guest.spec import Disk, GuestSpec, Link
from kdump_tests.sizes import MIB


def test_guest_has_the_disks_links_and_cpus_of_its_spec(
    opened_lab: tuple[Lab, BuiltImage], tmp_path: Path
) -> None:
    big = tmp_path / "big"
    with _guest(opened_lab, tmp_path) as guest:
        told = partial(guest.shell.run, until=guest.command_deadline())
        size = told("blockdev", "--getsize64", "/dev/disk/by-id/virtio-spare")
        cpus = told("nproc")
        links = told("ls", "/sys/class/net")
        told("dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=8")
        guest.fetch([Copy("/big", big, 8 * MIB)], guest.command_deadline())
        digest = told("sha256sum", "/big")
    assert (int(size), int(cpus)) == (64 * MIB, 2)
    assert len(links.split()) == 3  # loopback, SSH's, and the private one
    assert digest.split()[0] == hashlib.sha256(big.read_bytes()).hexdigest()


@contextmanager
def _guest(opened_lab: tuple[Lab, BuiltImage], folder: Path) -> Iterator[Guest]:
    spec = GuestSpec(
        image="debian-12",
        memory=512 * MIB,
        crashkernel=None,
        vcpus=2,
        disks=(Disk("spare", 64 * MIB),),
        links=(Link("private"),),
    )
    lab, built = opened_lab
    with lab.guest(spec, built, folder) as guest:
        yield guest
