"""Other settings for an armed kdump-tools: only what differs is set, only what needs it is loaded anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, NotArmed
from kdump_tests.plan import Plan
from kdump_tests.stacks import debian, unit
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.stack import ReadWhen, check_settings
from kdump_tests.unit.stacks.here import Here

PACKAGED = """\
USE_KDUMP=1
#MAKEDUMP_ARGS="-c -d 31"
KDUMP_CMDLINE_APPEND="nr_cpus=1 irqpoll"
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[str]]]:
    """Set things; what that took, and how kdump-config was called."""
    (tmp_path / "conf").write_text(PACKAGED)
    (tmp_path / "loaded").write_text("1\n")
    monkeypatch.setattr(debian, "_CONFIGURATION", str(tmp_path / "conf"))
    monkeypatch.setattr(unit, "_ARMED", (str(tmp_path / "loaded"),))
    here = Here(tmp_path)
    here.has("kdump-config")

    def configure(**wanted: str) -> tuple[str, list[str]]:
        shell: Any = here
        until = Deadline.after(10, "it is set")
        written = Debian().write(shell, wanted, until)
        assert here.calls == []
        if written.to_arm:
            Debian().arm(shell, written, until)
        return str(written), [call.removeprefix("kdump-config ") for call in here.calls]

    return configure


def test_what_the_capture_reads_needs_nothing_loaded(configured: Callable[..., Any], tmp_path: Path) -> None:
    assert configured(MAKEDUMP_ARGS="-c -d 17") == ("MAKEDUMP_ARGS: nothing to load anew", [])
    assert (tmp_path / "conf").read_text() == PACKAGED + "MAKEDUMP_ARGS='-c -d 17'\n"


def test_what_is_handed_to_kexec_is_loaded_anew(configured: Callable[..., Any]) -> None:
    told, calls = configured(MAKEDUMP_ARGS="-d 1", KDUMP_CMDLINE_APPEND="nr_cpus=2")
    assert told == "MAKEDUMP_ARGS, KDUMP_CMDLINE_APPEND: capture kernel loaded anew"
    assert calls == ["reload"]


def test_what_is_set_already_changes_nothing(configured: Callable[..., Any], tmp_path: Path) -> None:
    assert configured(KDUMP_CMDLINE_APPEND="nr_cpus=1 irqpoll") == ("nothing changed", [])
    assert (tmp_path / "conf").read_text() == PACKAGED


def test_a_capture_kernel_that_does_not_load_is_the_products_failure(
    configured: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "loaded").write_text("0\n")
    with pytest.raises(NotArmed, match="no capture kernel is loaded") as failure:
        configured(KDUMP_KEXEC_ARGS="--banana")
    assert failure.value.facts["settings"] == "KDUMP_KEXEC_ARGS=--banana"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40))
def test_whatever_the_value_it_is_a_value_and_no_script(
    configured: Callable[..., Any], tmp_path: Path, value: str
) -> None:
    (tmp_path / "conf").write_text(PACKAGED)
    configured(MAKEDUMP_ARGS=value)
    assert configured(MAKEDUMP_ARGS=value) == ("nothing changed", [])


def test_settings_that_the_stack_does_not_have_are_refused_by_name() -> None:
    assert Debian().settings["MAKEDUMP_ARGS"] is ReadWhen.CAPTURING
    with pytest.raises(BadInput, match="core_collector: no setting of kdump on debian") as refusal:
        check_settings(Debian(), {"core_collector": "makedumpfile -d 31", "MAKEDUMP_ARGS": "-d 1"})
    assert "MAKEDUMP_ARGS" in refusal.value.facts["known"]


@pytest.mark.parametrize("word", ["MAKEDUMP_ARGS", "=-d 1", ""])
def test_a_setting_has_a_name_and_a_value(word: str) -> None:
    with pytest.raises(BadInput, match="not of the form NAME=VALUE"):
        Plan.of(memory="1G", kdump_settings=(word,))


def test_a_value_may_hold_anything() -> None:
    plan = Plan.of(memory="1G", kdump_settings=("MAKEDUMP_ARGS=-c -d=17",))
    assert plan.kdump_settings == {"MAKEDUMP_ARGS": "-c -d=17"}
