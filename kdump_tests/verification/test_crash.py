"""The kernel panics: does the machine save its memory and come back?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.crash.timeline import ENDS
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import Phase, Stack


def test_kernel_panics_for_the_reason_we_gave(crash: Crash) -> None:
    assert crash.said.are(crash.trigger.value.words), crash.said


def test_task_and_cpu_that_crash_are_those_that_must(crash: Crash) -> None:
    if not crash.trigger.value.names_task:
        pytest.skip(f"a kernel that dies by {crash.trigger} names no task")
    task = crash.said.task
    assert task is not None, crash.said
    assert crash.trigger.value.task in {None, task.comm}
    assert crash.cpu in {None, task.cpu}


def test_capture_kernel_starts(crash: Crash) -> None:
    crash.timeline.require(Phase.CAPTURE_KERNEL)


def test_capture_kernel_reaches_the_dump_target(crash: Crash, stack: Stack) -> None:
    if Phase.TARGET_MOUNTED not in dict(stack.markers.phases):
        pytest.skip(f"{stack.name} says nothing on the way to such a target before the log is saved there")
    crash.timeline.require(Phase.TARGET_MOUNTED)


def test_capture_kernel_saves_the_dmesg(crash: Crash, stack: Stack) -> None:
    if stack.artifacts.dmesg is None:
        pytest.skip("with these settings the dump comes alone, without a kernel log")
    crash.timeline.require(Phase.DMESG_SAVED)


def test_capture_kernel_saves_the_dump(crash: Crash) -> None:
    crash.timeline.require(Phase.DUMP_SAVED)


def test_nothing_goes_wrong_on_the_way(crash: Crash) -> None:
    if crash.timeline.faults:
        raise crash.timeline.failure("the crash did not go as it must")


def test_machine_ends_as_it_was_told(crash: Crash, stack: Stack) -> None:
    if not crash.timeline.watched:
        pytest.skip(f"not seen: its phases come from {crash.timeline.witness}")
    crash.timeline.require(Phase.FINAL_ACTION)
    assert ENDS[stack.ends_with].search(crash.timeline.line(Phase.FINAL_ACTION))


def test_machine_comes_back_by_itself(crash: Crash, stack: Stack) -> None:
    if stack.ends_with is not FinalAction.REBOOT:
        pytest.skip(f"it was told to {stack.ends_with}, and was powered on again to be looked at")
    crash.timeline.require(Phase.REBOOTED)
    assert crash.boot_id_after is not None
    assert crash.boot_id_after != crash.kernel.boot_id
