"""Each check of the analysis fails when what it looks at is wrong: a real dump's facts, one changed."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kdump_tests.crash.trigger import Trigger
from kdump_tests.guest.facts import Process
from kdump_tests.sizes import GIB
from kdump_tests.unit.vmcore.test_agreement import DRGN, QUIET
from kdump_tests.verification import test_dump as dump_checks
from kdump_tests.verification import test_dump_analysis as checks
from kdump_tests.vmcore.analysis import Analysis, CrashedTask, Frame, Task
from kdump_tests.vmcore.debug_information import Search
from kdump_tests.vmcore.judgement import Judgement

LOG = (
    "[   25.278353] Kernel panic - not syncing: sysrq triggered crash",
    "[   25.278641] CPU: 1 PID: 338 Comm: sh Kdump: loaded Not tainted 6.1.0-56-cloud-amd64 #1",
    "[   25.284321]  </TASK>",
)
GOOD = replace(
    DRGN,
    backtrace=tuple(Frame(name, "") for name in ("__crash_kexec", "panic", "sysrq_handle_crash")),
    tasks=(Task(1, "systemd", 0), Task(299, "sshd", 1), Task(338, "sh", 299)),
    memory={"total": 885276672, "free": 764866560},
)
TIER: Any = SimpleNamespace(guest=SimpleNamespace(spec=SimpleNamespace(memory=GIB)))
CRASH: Any = SimpleNamespace(
    trigger=Trigger.SYSRQ_C,
    planted=SimpleNamespace(holder=338),
    services=(Process(1, "systemd", 0), Process(299, "sshd", 1)),
    said=SimpleNamespace(task=CrashedTask(cpu=1, pid=338, comm="sh")),
    timeline=SimpleNamespace(watched=True, last_words=LOG),
    dump=SimpleNamespace(
        vmcore=SimpleNamespace(kernel_log=LOG), log_text="\n".join(LOG).replace("] ", "] [    T338] ")
    ),
)


def all_checks(analysis: Analysis) -> list[Callable[[], None]]:
    judgement = Judgement(Search(analysis.vmlinux, ()), analysis, QUIET)
    return [
        lambda: checks.test_crashed_task_is_the_one_that_the_kernel_named(analysis, CRASH),
        lambda: checks.test_backtrace_leads_through_what_the_trigger_does(analysis, CRASH),
        lambda: checks.test_daemons_that_ran_before_the_panic_are_among_the_tasks(analysis, CRASH),
        lambda: checks.test_modules_and_the_use_of_memory_can_be_read(analysis, TIER),
        lambda: checks.test_second_judge_names_the_same_kernel_and_task(QUIET, judgement),
    ]


def failing(analysis: Analysis) -> list[int]:
    """Which of the checks fail."""
    failed = []
    for number, check in enumerate(all_checks(analysis)):
        try:
            check()
        except AssertionError:
            failed.append(number)
    return failed


def test_facts_of_a_real_dump_pass() -> None:
    assert failing(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"crashed": CrashedTask(1, "systemd", 1)}, [0, 4]),
        ({"crashed": CrashedTask(338, "sh", 0)}, [0, 4]),
        ({"crashed": None}, [0]),
        ({"backtrace": GOOD.backtrace[:2]}, [1]),
        ({"tasks": GOOD.tasks[1:]}, [2]),
        ({"tasks": GOOD.tasks[:2]}, [2]),
        ({"tasks": (*GOOD.tasks[:1], Task(299, "dropbear", 1))}, [2]),
        ({"modules": ()}, [3]),
        ({"memory": {"total": 4 * GIB, "free": 1}}, [3]),
        ({"unread": {"tasks": "a page was left out"}}, [3]),
        ({"release": "6.1.0-55-cloud-amd64"}, [4]),
    ],
)
def test_each_wrong_fact_fails_its_own_check(changed: dict[str, Any], failed: list[int]) -> None:
    assert failing(replace(GOOD, **changed)) == failed


def test_a_trigger_that_crashes_elsewhere_is_seen() -> None:
    other: Any = SimpleNamespace(trigger=Trigger.OUT_OF_MEMORY)
    with pytest.raises(AssertionError):
        checks.test_backtrace_leads_through_what_the_trigger_does(GOOD, other)


def test_saved_log_and_console_that_agree_with_the_dump_pass() -> None:
    dump_checks.test_saved_dmesg_ends_as_the_log_in_the_dump(CRASH, list(LOG))
    dump_checks.test_last_words_on_the_console_are_in_the_log_in_the_dump(CRASH)


def test_a_saved_log_without_its_end_is_seen() -> None:
    with pytest.raises(AssertionError):
        dump_checks.test_saved_dmesg_ends_as_the_log_in_the_dump(CRASH, list(LOG[:-1]))


def test_a_console_that_says_more_than_the_dump_is_seen() -> None:
    said = (*LOG, "[   25.3] more than the dump has")
    ahead: Any = SimpleNamespace(
        **{**vars(CRASH), "timeline": SimpleNamespace(watched=True, last_words=said)}
    )
    with pytest.raises(AssertionError):
        dump_checks.test_last_words_on_the_console_are_in_the_log_in_the_dump(ahead)


@pytest.mark.parametrize("trigger", [each for each in Trigger if each.dumps], ids=str)
def test_a_backtrace_is_held_against_the_very_trigger(trigger: Trigger) -> None:
    crash: Any = SimpleNamespace(trigger=trigger)
    own = replace(GOOD, backtrace=(Frame("panic", ""), Frame(trigger.value.crashes_in, "")))
    checks.test_backtrace_leads_through_what_the_trigger_does(own, crash)
    with pytest.raises(AssertionError):
        checks.test_backtrace_leads_through_what_the_trigger_does(replace(own, backtrace=()), crash)


@pytest.mark.parametrize(
    ("timeline", "because"),
    [
        (SimpleNamespace(watched=True, last_words=()), "it died unheard"),
        (
            SimpleNamespace(watched=False, witness="what the crash left"),
            "its phases come from what",
        ),
    ],
)
def test_a_console_that_says_nothing_or_is_not_there_is_not_judged(timeline: Any, because: str) -> None:
    silent: Any = SimpleNamespace(**{**vars(CRASH), "timeline": timeline})
    with pytest.raises(pytest.skip.Exception, match=because):
        dump_checks.test_last_words_on_the_console_are_in_the_log_in_the_dump(silent)
