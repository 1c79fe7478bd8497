"""Would a panic right now start a capture kernel?"""

from kdump_tests.errors import NotArmed
from kdump_tests.plugin import Tier


def test_kdump_service_is_active(tier: Tier) -> None:
    state = tier.state
    if state.active != "active":
        raise NotArmed(
            f"{state.service} is {state.active} ({state.enabled}) on {tier}",
            it_says=state.said,
            console=tier.guest.console.record,
        )


def test_capture_kernel_is_loaded(tier: Tier) -> None:
    if not tier.state.capture_kernel_loaded:
        raise NotArmed(f"no capture kernel is loaded on {tier}", it_says=tier.state.said)
