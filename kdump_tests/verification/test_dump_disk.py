"""Dumps are saved to a disk of their own: is it the one that was asked for?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.session.tier import Tier
from kdump_tests.stacks.dump_disk import Mount
from kdump_tests.stacks.topology import Topology

pytestmark = pytest.mark.topology(Topology.DISK_DUMP)


def test_dump_lies_on_the_partition_asked_for(tier: Tier, crash: Crash, mount: Mount) -> None:
    shown = ("findmnt", "--noheadings", "--output", "TARGET,FSTYPE", "--target", crash.dump.directory.path)
    found = tier.guest.shell.run(*shown, until=tier.guest.command_deadline()).split()
    assert found == [mount.point, mount.partition.fstype]
