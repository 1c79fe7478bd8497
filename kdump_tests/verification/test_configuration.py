"""Is kdump configured as was asked, and the dump what that makes of it?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.plugin import Laboratory, Tier
from kdump_tests.vmcore.shape import Format


def test_settings_are_in_force(laboratory: Laboratory, tier: Tier) -> None:
    told = laboratory.stack.told(tier.guest.shell, laboratory.settings, tier.guest.command_deadline())
    assert told == laboratory.settings, f"{told} instead of {laboratory.settings} on {tier}"


def test_dump_is_filtered_and_packed_as_was_asked(laboratory: Laboratory, crash: Crash) -> None:
    collector, vmcore = laboratory.makedumpfile, crash.dump.vmcore
    if collector is None:
        pytest.skip("no options of makedumpfile were asked for in kdump.conf")
    if collector.elf:
        assert vmcore.format is Format.ELF
        return
    packed = (collector.compression.name.lower(),) if collector.compression else ()
    assert vmcore.compression == packed
    # Of several levels, makedumpfile takes the next where the space does not suffice.
    assert vmcore.dump_level in (collector.levels or (0,))
