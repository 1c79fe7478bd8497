"""Older dumps have to go as new ones come: are as many left as was asked for?"""

from kdump_tests.crash.crash import Crash
from kdump_tests.session.tier import Tier


def test_no_more_dumps_are_kept_than_was_asked_for(crash: Crash, tier: Tier) -> None:
    keeper = tier.dump_server.guest if tier.dump_server else tier.guest
    kept = [dump.path for dump in tier.stack.dumps(keeper.shell, keeper.command_deadline())]
    assert crash.dump.directory.path in kept
    assert len(kept) <= (tier.stack.keeps or 0), kept
