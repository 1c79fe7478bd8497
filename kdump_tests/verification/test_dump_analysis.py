"""What the kernel's debug information tells: does the dump hold what an analysis needs?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.session.tier import Tier
from kdump_tests.vmcore.analysis import Analysis
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.judgement import Judgement


def test_crashed_task_is_the_one_that_the_kernel_named(analysis: Analysis, crash: Crash) -> None:
    if not crash.trigger.value.names_task:
        pytest.skip(f"a kernel that dies by {crash.trigger} names no task")
    task = crash.said.task
    assert task is not None, crash.said
    assert analysis.crashed == task


def test_backtrace_leads_through_what_the_trigger_does(analysis: Analysis, crash: Crash) -> None:
    assert crash.trigger.value.crashes_in in analysis.functions


def test_daemons_that_ran_before_the_panic_are_among_the_tasks(analysis: Analysis, crash: Crash) -> None:
    assert {"sshd"} <= {service.comm for service in crash.services}, crash.services
    assert crash.planted.holder in {task.pid for task in analysis.tasks}
    found = {(task.pid, task.comm) for task in analysis.tasks}
    assert [service for service in crash.services if (service.pid, service.comm) not in found] == []


def test_modules_and_the_use_of_memory_can_be_read(analysis: Analysis, tier: Tier) -> None:
    assert analysis.unread == {}
    assert analysis.modules
    assert 0 < analysis.memory["free"] < analysis.memory["total"] <= tier.guest.spec.memory


def test_second_judge_names_the_same_kernel_and_task(second_judge: Session, judgement: Judgement) -> None:
    assert judgement.contradictions == ()
    assert second_judge.release is not None
    assert second_judge.crashed is not None
