"""Programs of the host: found or missed, in time or killed, and quoted when they fail."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import DeadlineExpired, LabError, NoSpace, ToolMissing
from kdump_tests.subprocesses import program, run

FULL = 'echo "x: cannot write: No space left on device" >&2; exit 1'


def soon() -> Deadline:
    return Deadline.after(20, "the program ends")


def shell(script: str, *, log: Path | None = None, until: Deadline | None = None) -> str:
    return run(["sh", "-c", script], until or soon(), log=log)


def require_gone(pid: int) -> None:
    """An orphan's corpse may wait for a lazy init."""
    alive = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    assert not alive


def test_standard_output_is_the_result() -> None:
    assert shell("echo said; echo chatter >&2") == "said\n"


def test_output_that_is_no_utf8_is_replaced() -> None:
    assert shell(r"printf 'a\377b'") == "a\ufffdb"


def test_arguments_reach_the_program_as_they_are() -> None:
    assert run(["printf", "%s", "a b; $HOME '\""], soon()) == "a b; $HOME '\""


def test_standard_input_is_empty() -> None:
    assert shell("cat") == ""


def test_a_log_takes_both_outputs_after_what_it_held(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("before\n")
    assert shell("echo said; echo chatter >&2", log=log) == ""
    assert log.read_text() == "before\nsaid\nchatter\n"


def test_a_missing_program_is_said_with_the_package_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(ToolMissing, match="qemu-img is not installed") as caught:
        program("qemu-img")
    assert caught.value.facts["package"] == "qemu-utils"
    assert caught.value.facts["way out"]


def test_a_program_of_the_administrators_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert Path(program("ldconfig")).parent.name == "sbin"


def test_a_failure_is_told_in_the_programs_own_words() -> None:
    with pytest.raises(LabError, match="sh failed with status 3") as caught:
        shell("echo one >&2; echo two >&2; exit 3")
    assert caught.value.facts["said"] == "one\ntwo"
    assert "exit 3" in caught.value.facts["command"]


def test_only_the_end_of_long_words_is_told() -> None:
    with pytest.raises(LabError) as caught:
        shell("seq 100 >&2; exit 1")
    assert caught.value.facts["said"].split() == [str(number) for number in range(89, 101)]


def test_a_full_disk_has_an_error_of_its_own() -> None:
    with pytest.raises(NoSpace):
        shell(FULL)


def test_a_full_disk_is_found_in_the_log_too(tmp_path: Path) -> None:
    with pytest.raises(NoSpace) as caught:
        shell(FULL, log=tmp_path / "build.log")
    assert caught.value.facts["log"] == str(tmp_path / "build.log")


def test_a_full_disk_is_known_whatever_language_the_host_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert shell("echo $LC_ALL") == "C.UTF-8\n"


def test_a_program_has_the_environment_it_is_given() -> None:
    code = "import os; print(os.environ.get('HOME'), os.environ['GIVEN'])"
    assert run([sys.executable, "-c", code], soon(), env={"GIVEN": "yes"}) == "None yes\n"


def test_a_deadline_ends_the_program_and_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    begun = time.monotonic()
    with pytest.raises(DeadlineExpired, match="not in time: the program ends") as caught:
        shell(f"sleep 60 & echo $! > {child}; wait", until=Deadline.after(0.5, "the program ends"))
    assert time.monotonic() - begun < 10
    assert "sleep 60" in caught.value.facts["command"]
    wait_until(lambda: require_gone(int(child.read_text())), soon(), retry_on=AssertionError)
