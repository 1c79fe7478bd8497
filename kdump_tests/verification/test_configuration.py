"""Is kdump configured as was asked?"""

from kdump_tests.plugin import Laboratory, Tier


def test_settings_are_in_force(laboratory: Laboratory, tier: Tier) -> None:
    told = laboratory.stack.told(tier.guest.shell, laboratory.settings, tier.guest.command_deadline())
    assert told == laboratory.settings, f"{told} instead of {laboratory.settings} on {tier}"
