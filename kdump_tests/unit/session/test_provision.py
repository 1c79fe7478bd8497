"""Machines become what the plan wants, and what they say of themselves counts."""

from typing import Any
from unittest.mock import Mock

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.plan import Plan
from kdump_tests.session import provision
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.stack import Stack


@pytest.mark.parametrize(
    ("booted_with", "told", "again"),
    [
        ("1G-:256M", "1G-:256M", False),
        ("1G-:256M", None, True),
        ("128M", "1G-:256M", True),
        (None, None, True),
    ],
)
def test_machine_is_booted_again_unless_it_booted_with_the_value_that_is_there_for_good(
    booted_with: str | None, told: str | None, *, again: bool
) -> None:
    guest, stack = Mock(), Mock()
    guest.spec.crashkernel = "1G-:256M"
    stack.boot_loader.return_value.reserved.return_value = told
    before = f"BOOT_IMAGE=/vmlinuz ro{'' if booted_with is None else f' crashkernel={booted_with}'}"
    guest.read.side_effect = [before, "BOOT_IMAGE=/vmlinuz ro crashkernel=1G-:256M"]
    provision._reserve(guest, stack)
    assert stack.boot_loader.return_value.reserve.called is again
    assert guest.reboot.called is again


def on_a_machine_that_says(stack: Stack, plan: Plan, **own: str) -> Stack:
    """The stack, as it is configured on a machine whose own files say this."""
    guest: Any = Mock()
    guest.name = "db7"
    files = Mock(wraps=stack, settings=stack.settings)
    files.told.side_effect = lambda _shell, names, _until: dict.fromkeys(names, "") | own
    return provision._as_configured(plan, files, guest)


def test_what_a_machine_says_of_its_kdump_counts_unless_it_was_asked_otherwise() -> None:
    plain = Plan.of(memory="1G")
    asked = Plan.of(memory="1G", kdump_settings=("KDUMP_COREDIR=/srv/asked",))
    own = {"KDUMP_COREDIR": "/srv/own"}
    found: Any = [on_a_machine_that_says(STACKS["debian"], plan, **own) for plan in (plain, asked)]
    assert [stack.core_directory for stack in found] == ["/srv/own", "/srv/asked"]


@pytest.mark.parametrize(
    ("stack", "own", "message"),
    [
        ("debian", {"SSH": "kdump@backup"}, "to where nobody looks for them"),
        ("el", {"xfs": "LABEL=crash"}, "to where nobody looks for them"),
        ("el", {"nfs": "backup:/srv"}, "to where nobody looks for them"),
        ("el", {"final_action": "poweroff"}, "db7 is not crashed with final_action poweroff"),
        ("el", {"failure_action": "halt"}, "db7 is not crashed with failure_action halt"),
        (
            "suse",
            {"KDUMP_IMMEDIATE_REBOOT": "false"},
            "KDUMP_IMMEDIATE_REBOOT=false",
        ),
    ],
)
def test_host_whose_own_kdump_would_lead_astray_is_not_crashed(
    stack: str, own: dict[str, str], message: str
) -> None:
    plan = Plan.of(host="db7", allow_crash="db7")
    with pytest.raises(BadInput, match=message):
        on_a_machine_that_says(STACKS[stack], plan, **own)
    assert on_a_machine_that_says(STACKS[stack], plan).elsewhere == ""


def test_host_whose_capture_would_stay_the_runs_is_not_configured() -> None:
    asked = Plan.of(host="db7", allow_crash="db7", stack_name="el", kdump_settings=("path=/srv/asked",))
    with pytest.raises(BadInput, match="force_no_rebuild 1"):
        on_a_machine_that_says(STACKS["el"], asked, force_no_rebuild="1")
    as_it_is = Plan.of(host="db7", allow_crash="db7", stack_name="el")
    assert on_a_machine_that_says(STACKS["el"], as_it_is, force_no_rebuild="1").elsewhere == ""
