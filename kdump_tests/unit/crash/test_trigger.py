"""What a kernel prints before it panics is told from what it prints at other times."""

import pytest

from kdump_tests.crash.trigger import Cpu, Trigger

SYSRQ = {trigger for trigger in Trigger if trigger.value.words == Trigger.SYSRQ_C.value.words}


@pytest.mark.parametrize(
    ("trigger", "line"),
    [
        (Trigger.SYSRQ_C, "[   88.2] sysrq: Trigger a crash"),
        (Trigger.NMI, "[   60.1] Uhhuh. NMI received for unknown reason 30 on CPU 0."),
        (Trigger.OUT_OF_MEMORY, "[   60.1] tail invoked oom-killer: gfp_mask=0x140dca, order=0"),
        (Trigger.HUNG_TASK, "[   60.1] INFO: task touch:412 blocked for more than 5 seconds."),
        # 7.2
        (Trigger.HUNG_TASK, "[   60.1] INFO: task touch:412 blocked in I/O wait for more than 5 seconds."),
        (Trigger.NULL_DEREFERENCE, "BUG: kernel NULL pointer dereference, address: 0000000000000000"),
        (Trigger.BUG, "[   60.1] kernel BUG at mm/usercopy.c:102!"),
        (
            Trigger.WARNING,
            "[   60.1] WARNING: CPU: 0 PID: 312 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110",
        ),
        # 7.2
        (
            Trigger.WARNING,
            "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#0: insmod/312",
        ),
        (
            Trigger.STACK_EXHAUSTION,
            "BUG: TASK stack guard page was hit at 000000001a2b3c4d (stack is 000000001a2b3c4d..0000)",
        ),
        (Trigger.SOFT_LOCKUP, "watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [insmod:312]"),
        (Trigger.HARD_LOCKUP, "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0"),
        # 7.2
        (Trigger.HARD_LOCKUP, "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0"),
        (Trigger.RCU_STALL, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
        (Trigger.RCU_STALL, "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
        (
            Trigger.MACHINE_CHECK,
            "mce: [Hardware Error]: CPU 0: Machine Check Exception: 4 Bank 1: b200000000000000",
        ),
    ],
)
def test_announcement_is_known_and_is_no_other_triggers(trigger: Trigger, line: str) -> None:
    announced = {each for each in Trigger if (words := each.value.words.announcement) and words.search(line)}
    assert announced == (SYSRQ if trigger is Trigger.SYSRQ_C else {trigger})


def test_every_trigger_has_a_name_of_its_own() -> None:
    assert len({str(trigger) for trigger in Trigger}) == len(Trigger)


def test_only_what_must_leave_no_dump_says_why() -> None:
    assert {trigger for trigger in Trigger if not trigger.dumps} == {Trigger.UNARMED, Trigger.SECOND_PANIC}


def test_a_function_is_promised_of_all_that_leaves_a_dump() -> None:
    assert {trigger for trigger in Trigger if trigger.value.crashes_in} == {
        trigger for trigger in Trigger if trigger.dumps
    }


def test_a_cpu_is_chosen_among_those_that_there_are() -> None:
    assert (Cpu.FIRST.among(4), Cpu.LAST.among(4)) == (0, 3)
    assert {Cpu.RANDOM.among(3) for _ in range(200)} == {0, 1, 2}
