"""Is memory kept aside for the capture kernel, and as much as this setting promises on this much memory?"""

import pytest

from kdump_tests.errors import NotArmed
from kdump_tests.session.tier import ProbedTier, Tier
from kdump_tests.sizes import format_size


def test_kernel_alone_keeps_aside_what_the_setting_promises(probed: ProbedTier) -> None:
    _require_what_is_promised(probed)


def test_memory_is_kept_aside_where_promised(tier: Tier) -> None:
    kept = tier.witnesses.iomem.total
    if tier.parameter.promises_nothing:
        assert kept == 0, f"{format_size(kept)} instead of nothing on {tier}"
    elif kept == 0:
        raise NotArmed(
            f"nothing is kept aside for a capture kernel on {tier}",
            kernel_says="\n".join(tier.witnesses.boot_log.words) or "nothing about crashkernel",
            way_out="a crashkernel= that covers this much memory",
        )


def test_as_much_is_kept_aside_as_the_setting_promises(tier: Tier) -> None:
    _require_what_is_promised(tier)


def test_sysfs_iomem_and_boot_log_agree(tier: Tier) -> None:
    assert tier.witnesses.agree, tier.witnesses


def _require_what_is_promised(tier: Tier | ProbedTier) -> None:
    if not tier.expected:
        pytest.skip(f"what {tier} keeps aside cannot be told beforehand: {tier.parameter.unforeseen}")
    kept = tier.kept
    if tier.parameter.at_least and any(
        kept.main >= each.main > 0 and kept.low >= each.low for each in tier.expected
    ):
        return
    least = "at least " if tier.parameter.at_least else ""
    expected = " or ".join(map(str, tier.expected))
    assert kept in tier.expected, f"{kept} instead of {least}{expected} on {tier}"
