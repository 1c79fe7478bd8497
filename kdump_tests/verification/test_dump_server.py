"""Dumps are sent to another machine: is the guest let in there, and its dump known by its name?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.errors import NotArmed
from kdump_tests.session.tier import Tier
from kdump_tests.stacks.dump_server import DumpServer
from kdump_tests.stacks.stack import Stack
from kdump_tests.stacks.topology import Topology

pytestmark = pytest.mark.topology(Topology.SSH_DUMP, Topology.NFS_DUMP, Topology.FTP_DUMP)


def test_guest_is_let_in_before_anything_crashes(tier: Tier, dump_server: DumpServer) -> None:
    if dump_server.let_in.status != 0:
        raise NotArmed(
            f"{tier.guest.name} is not let in on {dump_server.remote}, so no dump of it would arrive",
            command=dump_server.let_in.command,
            it_says=dump_server.let_in.said,
        )


def test_dump_bears_the_name_of_its_sender(crash: Crash, dump_server: DumpServer, stack: Stack) -> None:
    assert stack.sender_of(crash.dump.directory) == dump_server.sender
