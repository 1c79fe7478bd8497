"""Two judges: what they contradict each other in, and what only one of them can read."""

from dataclasses import replace
from pathlib import Path

from kdump_tests.unit.vmcore.test_crash_utility import BT, PS, SYS, session
from kdump_tests.vmcore.agreement import contradictions, differences
from kdump_tests.vmcore.analysis import Analysis, CrashedTask, Task
from kdump_tests.vmcore.debug_information import Vmlinux

DRGN = Analysis(
    vmlinux=Vmlinux(Path("vmlinux"), "00c0ffee"),
    reader="drgn 0.3.0",
    release="6.1.0-56-cloud-amd64",
    crashed=CrashedTask(338, "sh", 1),
    backtrace=(),
    tasks=(Task(1, "systemd", 0), Task(338, "sh", 299)),
    modules=("virtio_pci",),
    memory={"total": 1},
    unread={},
    seconds=1.0,
)
QUIET = replace(session(sys=SYS, bt=BT, ps=PS), greeting="crash 8.0.2\n")


def test_judges_that_agree_contradict_each_other_in_nothing() -> None:
    assert contradictions(DRGN, QUIET) == ()


def test_another_task_or_release_is_a_contradiction_that_names_both() -> None:
    other = replace(DRGN, crashed=CrashedTask(1, "systemd", 0), release="6.1.0-55")
    assert contradictions(other, QUIET) == (
        "kernel release: drgn 0.3.0 says 6.1.0-55, crash 8.0.2 says 6.1.0-56-cloud-amd64",
        "crashed task: drgn 0.3.0 says systemd (PID 1) on CPU 0, crash 8.0.2 says sh (PID 338) on CPU 1",
    )


def test_tasks_that_one_does_not_list_are_a_finding() -> None:
    assert differences(DRGN, QUIET) == (
        "crash 8.0.2 lists 1 of the 2 tasks that drgn 0.3.0 lists; without systemd (1)",
    )
    fewer = replace(DRGN, tasks=DRGN.tasks[:0])
    assert differences(fewer, QUIET) == ("crash 8.0.2 lists 1 tasks that drgn 0.3.0 does not, PIDs 338",)


def test_warnings_and_what_was_not_read_are_findings() -> None:
    found = differences(replace(DRGN, unread={"modules": "no such symbol"}), session(sys=SYS, bt=BT))
    assert found == (
        "crash 8.0.2: WARNING: active task ff3f4789c3cc8000 on cpu 0 not found in PID hash",
        "drgn 0.3.0 did not read modules: no such symbol",
    )


def test_one_that_cannot_read_the_dump_at_all_is_one_finding() -> None:
    refused = replace(QUIET, answers=(), failure="crash ended before its first prompt: they do not match!")
    assert differences(DRGN, refused) == (
        "crash 8.0.2 cannot read what drgn 0.3.0 reads: "
        "crash ended before its first prompt: they do not match!",
    )
