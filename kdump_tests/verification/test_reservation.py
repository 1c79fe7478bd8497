"""Is memory kept aside for the capture kernel, and as much as this setting promises on this much memory?"""

import pytest

from kdump_tests.errors import NotArmed
from kdump_tests.plugin import Tier
from kdump_tests.sizes import format_size


def test_memory_is_kept_aside(tier: Tier) -> None:
    if tier.witnesses.iomem.total == 0:
        raise NotArmed(
            f"nothing is kept aside for a capture kernel on {tier}",
            kernel_says="\n".join(tier.witnesses.boot_log.words) or "nothing about crashkernel",
            way_out="a crashkernel= that covers this much memory",
        )


def test_as_much_is_kept_aside_as_the_setting_promises(tier: Tier) -> None:
    if tier.expected is None:
        pytest.skip(f"where crashkernel={tier.parameter.passed} puts its memory cannot be told beforehand")
    kept = tier.witnesses.iomem
    assert kept == tier.expected, (
        f"{format_size(kept.total)} instead of {format_size(tier.expected.total)} on {tier}"
    )


def test_sysfs_iomem_and_boot_log_agree(tier: Tier) -> None:
    assert tier.witnesses.agree, tier.witnesses
