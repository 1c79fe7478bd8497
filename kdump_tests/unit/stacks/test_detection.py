"""Which kdump a machine has, by what is installed."""

from pathlib import Path
from typing import Any

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.detection import detect, require
from kdump_tests.unit.stacks.here import Here


def until() -> Deadline:
    return Deadline.after(10, "it is known")


@pytest.fixture
def here(tmp_path: Path) -> Any:
    return Here(tmp_path)


@pytest.mark.parametrize(
    ("tool", "name"), [("kdump-config", "debian"), ("kdumpctl", "el"), ("kdumptool", "suse")]
)
def test_a_stack_is_known_by_its_tool(here: Any, tool: str, name: str) -> None:
    here.has(tool, "kexec", "makedumpfile")
    assert detect(here, STACKS, until()) is STACKS[name]
    require(here, STACKS[name], STACKS, until())


def test_a_machine_without_kdump_is_told_what_was_looked_for(here: Any) -> None:
    with pytest.raises(BadInput, match="no kdump that is known") as refusal:
        detect(here, STACKS, until())
    assert refusal.value.facts["looked for"] == "kdump-config (debian), kdumpctl (el), kdumptool (suse)"


def test_two_of_them_are_one_too_many(here: Any) -> None:
    here.has("kdumpctl", "kdump-config")
    with pytest.raises(BadInput, match="more than one kdump: debian, el"):
        detect(here, STACKS, until())


def test_another_than_the_named_one_is_refused_and_nothing_installed(here: Any) -> None:
    here.has("kdump-config", "dnf")
    with pytest.raises(BadInput, match="kdump of this machine is not el") as refusal:
        require(here, STACKS["el"], STACKS, until())
    assert refusal.value.facts["way out"] == "--stack debian"
    assert here.calls == []


def test_the_named_one_is_installed_where_there_is_none(here: Any, tmp_path: Path) -> None:
    here.has("systemctl")
    # RHEL 9 has no kdump-utils.
    here.has("dnf", script=f'[ "$3" = kexec-tools ] && ln -s /bin/true {tmp_path}/tools/kdumpctl')
    require(here, STACKS["el"], STACKS, until())
    assert here.calls == [
        "dnf --assumeyes install kdump-utils",
        "dnf --assumeyes install kexec-tools",
        "systemctl enable kdump.service",
        "systemctl start kdump.service",
    ]


def test_the_named_one_beside_another_is_refused(here: Any) -> None:
    here.has("kdumpctl", "kdump-config")
    with pytest.raises(BadInput, match="kdump of this machine is not el") as refusal:
        require(here, STACKS["el"], STACKS, until())
    assert refusal.value.facts["found"] == "debian, el"
