"""Is kdump configured as was asked, and the dump what that makes of it?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.session.provision import Laboratory
from kdump_tests.session.tier import Tier
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.vmcore.shape import Format, kinds_left_out


def test_settings_are_in_force(laboratory: Laboratory, tier: Tier) -> None:
    told = tier.stack.told(tier.guest.shell, laboratory.settings, tier.guest.command_deadline())
    assert told == laboratory.settings, f"{told} instead of {laboratory.settings} on {tier}"


def test_dump_is_filtered_and_packed_as_was_asked(collector: Makedumpfile, crash: Crash) -> None:
    vmcore = crash.dump.vmcore
    packed = (collector.compression.name.lower(),) if collector.compression else ()
    assert vmcore.format is (Format.ELF if collector.elf else Format.KDUMP_COMPRESSED)
    assert vmcore.compression == packed
    # Of several levels, makedumpfile takes the next where the space does not suffice.
    assert collector.elf or vmcore.dump_level in (collector.levels or (0,))


def test_dump_holds_all_pages_that_its_level_keeps(collector: Makedumpfile, crash: Crash) -> None:
    vmcore = crash.dump.vmcore
    memory = vmcore.memory
    if memory is None:
        pytest.skip(f"how many pages a dump in {vmcore.format} holds cannot be told")
    # Zeros that are not stored are not left out, where the format can tell them.
    told = set() if memory.zeros is None else {"zero pages"}
    kinds = [set(kinds_left_out(level)) - told for level in collector.levels or (0,)]
    assert any(kinds) or not memory.left_out, memory
    # An ELF file does not tell its level: that something is missing tells that there was one. Where the
    # header tells it, makedumpfile may know no page of that kind: 1.7.6 knows no free ones of Linux 6.12.
    assert vmcore.dump_level is not None or memory.left_out or not all(kinds), memory
