"""drgn in a process of its own: whatever becomes of it, the suite goes on and says what became of it."""

import sys
from pathlib import Path

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadDump, DeadlineExpired
from kdump_tests.unit.vmcore.crashed_machine import crashed_machine
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.unit.vmcore.vmlinuxes import BUILD_ID, vmlinux
from kdump_tests.vmcore.analysis import Analysis, analyse
from kdump_tests.vmcore.debug_information import Vmlinux
from kdump_tests.vmcore.inspection import inspect
from kdump_tests.vmcore.judgement import judge


@pytest.fixture
def kernel(tmp_path: Path) -> Vmlinux:
    (tmp_path / "vmlinux").write_bytes(vmlinux())
    return Vmlinux(tmp_path / "vmlinux", BUILD_ID)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    ring = SyntheticRing()
    ring.say(b"Kernel panic - not syncing: out of luck")
    (tmp_path / "vmcore").write_bytes(crashed_machine(ring).image)
    return tmp_path / "vmcore"


def soon() -> Deadline:
    return Deadline.after(60, "drgn reads it")


def reader(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Something else in the place of the process that reads."""
    other = folder / "reader"
    other.write_text(f"#!/bin/sh\n{script}\n")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(other))


def test_what_is_no_dump_is_refused_in_the_words_of_drgn(tmp_path: Path, kernel: Vmlinux) -> None:
    (tmp_path / "text").write_text("no dump")
    with pytest.raises(BadDump, match="cannot be analysed: drgn cannot open it"):
        analyse(tmp_path / "text", kernel, soon())


def test_what_a_vmlinux_without_types_does_not_tell_is_named(dump: Path, kernel: Vmlinux) -> None:
    told = analyse(dump, kernel, soon())
    assert (told.crashed, told.backtrace, told.tasks, told.modules) == (None, (), (), ())
    assert {"crashed", "tasks", "modules", "memory", "release"} <= told.unread.keys()


def test_a_reader_that_dies_is_told_by_its_signal(
    dump: Path, kernel: Vmlinux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(tmp_path, monkeypatch, "kill -BUS $$")
    with pytest.raises(BadDump, match="cannot be analysed: drgn died of SIGBUS"):
        analyse(dump, kernel, soon())


def test_a_reader_that_never_ends_is_not_waited_for(
    dump: Path, kernel: Vmlinux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(tmp_path, monkeypatch, "exec sleep 600")
    with pytest.raises(DeadlineExpired, match="drgn reads it"):
        analyse(dump, kernel, Deadline.after(0.2, "drgn reads it"))


def test_facts_survive_the_way_from_one_process_to_the_other(kernel: Vmlinux) -> None:
    text = """{"reader": "drgn 1", "release": "6.1", "crashed": {"pid": 3, "comm": "sh", "cpu": 1},
        "backtrace": [{"function": "panic", "place": "kernel/panic.c:1:2"},
            {"function": "0x7f", "place": ""}],
        "tasks": [{"pid": 1, "comm": "init", "parent": 0}], "modules": ["ext4"], "memory": {"total": 5},
        "unread": {}}"""
    told = Analysis.parse(text, kernel, 1.0)
    assert str(told.crashed) == "sh (PID 3) on CPU 1"
    assert told.functions == ("panic", "0x7f")
    assert told.as_object()["backtrace"] == ["panic (kernel/panic.c:1:2)", "0x7f"]


def test_without_debug_information_it_is_said_what_was_not_judged(dump: Path, tmp_path: Path) -> None:
    judged = judge(inspect(dump), tmp_path / "cache")
    assert judged.analysis is None
    assert judged.not_judged == (
        "the crashed task, its backtrace, the tasks, the modules and the use of memory: "
        "no vmlinux of its build ID was found"
    )


def test_a_reader_that_dies_leaves_a_judgement_that_says_so(
    dump: Path, kernel: Vmlinux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(tmp_path, monkeypatch, "kill -KILL $$")
    judged = judge(inspect(dump), tmp_path / "cache", kernel.path)
    assert judged.analysis is None
    assert "drgn died of SIGKILL" in judged.not_judged


def test_no_second_judge_is_said_where_crash_is_not_installed(
    dump: Path, kernel: Vmlinux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdump_tests.subprocesses.shutil.which", lambda *_args, **_options: None)
    judged = judge(inspect(dump), tmp_path / "cache", kernel.path, second=True)
    assert (judged.session, judged.no_second) == (None, "crash is not installed")
    assert Path(judged.search.looked_at[0]) == kernel.path
