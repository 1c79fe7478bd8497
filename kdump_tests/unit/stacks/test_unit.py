"""A kdump service by systemd's view and the kernel's."""

from pathlib import Path
from typing import Any

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import DeadlineExpired
from kdump_tests.stacks import unit
from kdump_tests.stacks.stack import KdumpState, Mechanism
from kdump_tests.unit.stacks.here import Here

SERVICE = "kdump.service"
UNIT = "ActiveState={}\nUnitFileState=enabled\nJob={}\n"


def until(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds, "kdump is armed or has given up")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(unit, "_PAUSE_SECONDS", 0.01)
    fadump = (str(tmp_path / "registered"), str(tmp_path / "fadump_registered"))
    monkeypatch.setattr(unit, "_FADUMP", fadump)
    monkeypatch.setattr(unit, "_ARMED", (str(tmp_path / "loaded"), *fadump))
    monkeypatch.setattr(unit, "_COMMAND_LINE", str(tmp_path / "cmdline"))
    (tmp_path / "loaded").write_text("0\n")
    (tmp_path / "cmdline").write_text("root=/dev/vda crashkernel=256M\n")
    here = Here(tmp_path)
    here.has("journalctl", script="echo kdump: No memory reserved for crash kernel")
    here.has("systemctl", script=f"printf '{UNIT.format('active', 0)}'")
    return here


def state(machine: Any) -> KdumpState:
    return unit.state_of(machine, SERVICE, until())


def test_what_is_not_armed_says_why(machine: Any) -> None:
    assert not state(machine).armed
    assert state(machine).said == "kdump: No memory reserved for crash kernel"
    assert str(state(machine)) == "kdump.service is active (enabled); not armed"


@pytest.mark.parametrize(
    ("file", "mechanism"),
    [
        ("loaded", Mechanism.KEXEC),
        ("registered", Mechanism.FADUMP),
        ("fadump_registered", Mechanism.FADUMP),
    ],
)
def test_what_is_armed_says_by_what(machine: Any, tmp_path: Path, file: str, mechanism: Mechanism) -> None:
    (tmp_path / file).write_text("1\n")
    assert (state(machine).armed, state(machine).mechanism, state(machine).said) == (True, mechanism, "")


def test_early_kdump_is_known_by_the_command_line(machine: Any, tmp_path: Path) -> None:
    (tmp_path / "loaded").write_text("1\n")
    (tmp_path / "cmdline").write_text("root=/dev/vda rd.earlykdump crashkernel=256M\n")
    assert state(machine).mechanism is Mechanism.EARLY


@pytest.mark.parametrize("under_way", [UNIT.format("inactive", 213), UNIT.format("activating", 0)])
def test_a_service_is_waited_for_until_systemd_has_done_with_it(
    machine: Any, tmp_path: Path, under_way: str
) -> None:
    done = UNIT.format("failed", 0)
    machine.has(
        "systemctl",
        script=f"[ $(grep -c show {tmp_path}/calls) -gt 2 ] && printf '{done}' || printf '{under_way}'",
    )
    unit.settle(machine, SERVICE, until())
    assert machine.calls[0] == "systemctl is-system-running --wait"
    assert len(machine.calls) == 4


def test_what_never_ends_is_not_waited_for_for_ever(machine: Any) -> None:
    machine.has("systemctl", script=f"printf '{UNIT.format('activating', 1)}'")
    with pytest.raises(DeadlineExpired, match="armed or has given up"):
        unit.settle(machine, SERVICE, until(0.3))
