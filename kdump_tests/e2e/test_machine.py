"""A guest with all that a spec can ask for; the suite's own guests need less of it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kdump_tests.e2e.suite_runs import Runner
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.laboratory import Places, opened
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy
from kdump_tests.guest.spec import Disk, GuestSpec, Link
from kdump_tests.sizes import MIB


def test_guest_has_the_disks_links_and_cpus_of_its_spec(runner: Runner, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with _guest(runner, tmp_path) as guest:
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
    assert runner.left_overs() == []


@contextmanager
def _guest(runner: Runner, folder: Path) -> Iterator[Guest]:
    spec = GuestSpec(
        image="debian-12",
        memory=512 * MIB,
        crashkernel=None,
        vcpus=2,
        disks=(Disk("spare", 64 * MIB),),
        links=(Link("private"),),
    )
    places = Places(default_cache(), runner.runs)
    with (
        opened(places, spec.image, "auto", EMBEDDED) as (lab, built),
        lab.guest(spec, built, folder) as guest,
    ):
        yield guest
