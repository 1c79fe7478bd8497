"""Would a panic right now start a capture kernel?"""

from kdump_tests.errors import NotArmed
from kdump_tests.session.tier import Tier
from kdump_tests.stacks.stack import Stack


def test_kdump_service_is_active_where_memory_is_promised(tier: Tier, stack: Stack) -> None:
    state = tier.state
    if tier.parameter.promises_nothing:
        # systemd may call it active all the same: kdump-tools 1.8.1 to 1.10.9 end with status 0.
        assert stack.says_nothing_is_kept_aside.search(state.said), state.said
    elif state.active != "active":
        raise NotArmed(
            f"{state.service} is {state.active} ({state.enabled}) on {tier}",
            it_says=state.said,
            console=tier.guest.console.record,
        )


def test_capture_kernel_is_loaded_where_memory_is_promised(tier: Tier) -> None:
    loaded = tier.state.capture_kernel_loaded
    if tier.parameter.promises_nothing:
        assert not loaded, f"a capture kernel is loaded into no memory on {tier}"
    elif not loaded:
        raise NotArmed(f"no capture kernel is loaded on {tier}", it_says=tier.state.said)
