"""The last words of kernels that died in many ways, as their consoles and logs have them."""

import pytest

from kdump_tests.crash.words import LastWords, last_words, oops, panic
from kdump_tests.vmcore.analysis import CrashedTask

SYSRQ = panic("sysrq triggered crash", after="sysrq: Trigger a crash")
NULL = oops("Oops", after="BUG: kernel NULL pointer dereference, address: 0000000000000000")

ANNOUNCED = "[   88.212954] sysrq: Trigger a crash"
PANICKED = "[   88.213352] Kernel panic - not syncing: sysrq triggered crash"
TASK_OF_6_1 = "[   88.213400] CPU: 1 PID: 321 Comm: sh Kdump: loaded Not tainted 6.1.0-56-cloud-amd64 #1"
TASK_OF_6_12 = (
    "[   88.213400] CPU: 1 UID: 0 PID: 321 Comm: sh Kdump: loaded Not tainted 6.12.118+deb13-cloud-amd64 #1"
)


@pytest.mark.parametrize("task", [TASK_OF_6_1, TASK_OF_6_12])
def test_a_panic_tells_why_and_in_which_task(task: str) -> None:
    said = last_words([ANNOUNCED, PANICKED, task], SYSRQ)
    assert said == LastWords(ANNOUNCED, PANICKED, CrashedTask(321, "sh", 1))
    assert said.are(SYSRQ)


@pytest.mark.parametrize(
    ("line", "comm"),
    [
        ("CPU: 0 PID: 0 Comm: swapper/0 Not tainted 6.1.0", "swapper/0"),
        ("CPU: 0 PID: 9 Comm: a name of 15 ch Tainted: G      D W  OE      6.1.0", "a name of 15 ch"),
        ("CPU: 0 PID: 9 Comm: Tainted: x Kdump: loaded Tainted: G", "Tainted: x"),
    ],
)
def test_a_task_may_have_any_name(line: str, comm: str) -> None:
    said = last_words([ANNOUNCED, PANICKED, line], SYSRQ)
    assert said is not None
    assert said.task is not None
    assert said.task.comm == comm


def test_the_task_is_the_panics_and_not_the_one_that_it_is_about() -> None:
    words = panic("softlockup: hung tasks", after="BUG: soft lockup")
    lines = [
        "watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [insmod:312]",
        "CPU: 0 PID: 312 Comm: insmod Tainted: G           OE      6.1.0",
        "Kernel panic - not syncing: softlockup: hung tasks",
        "CPU: 1 PID: 27 Comm: khungtaskd Tainted: G           OEL     6.1.0",
    ]
    said = last_words(lines, words)
    assert said is not None
    assert said.task == CrashedTask(27, "khungtaskd", 1)


@pytest.mark.parametrize(
    "lines",
    [
        (ANNOUNCED, "Kernel panic - not syncing: Fatal exception in interrupt", TASK_OF_6_1),
        (ANNOUNCED, f"{PANICKED} or so", TASK_OF_6_1),
        (PANICKED, ANNOUNCED, TASK_OF_6_1),
        (PANICKED,),
    ],
)
def test_another_panic_or_one_that_was_not_announced_is_not_the_one(lines: tuple[str, ...]) -> None:
    said = last_words(lines, SYSRQ)
    assert said is not None
    assert not said.are(SYSRQ)


def test_the_first_panic_counts() -> None:
    other = "[   80.0] Kernel panic - not syncing: another"
    said = last_words([ANNOUNCED, other, TASK_OF_6_1, PANICKED, TASK_OF_6_12], SYSRQ)
    assert said is not None
    assert said.panic == other


@pytest.mark.parametrize("lines", [(), (ANNOUNCED,), (TASK_OF_6_1,)])
def test_without_a_panic_there_are_no_last_words(lines: tuple[str, ...]) -> None:
    assert last_words(lines, SYSRQ) is None


def test_a_panic_that_names_no_task_names_none() -> None:
    said = last_words([ANNOUNCED, PANICKED, "CPU: x PID: 1 Comm: "], SYSRQ)
    assert said is not None
    assert said.task is None


@pytest.mark.parametrize(
    "line",
    [
        "[   60.1] Oops: 0002 [#1] PREEMPT SMP NOPTI",  # 6.1
        "[   60.1] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI",  # 6.12
    ],
)
def test_an_oops_that_kdump_takes_over_from_has_no_panic_but_its_own_line(line: str) -> None:
    first = "[   60.0] BUG: kernel NULL pointer dereference, address: 0000000000000000"
    said = last_words([first, "[   60.0] #PF: supervisor write access in kernel mode", line], NULL)
    assert said == LastWords(first, line, None)
    assert said.are(NULL)
