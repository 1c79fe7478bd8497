"""What a kernel prints before it panics is told from what it prints at other times."""

import pytest

from kdump_tests.crash.trigger import Trigger


@pytest.mark.parametrize(
    ("trigger", "line"),
    [
        (Trigger.SYSRQ_C, "[   88.2] sysrq: Trigger a crash"),
        (Trigger.OUT_OF_MEMORY, "[   60.1] tail invoked oom-killer: gfp_mask=0x140dca, order=0"),
        (Trigger.HUNG_TASK, "[   60.1] INFO: task touch:412 blocked for more than 5 seconds."),
        # 7.2
        (Trigger.HUNG_TASK, "[   60.1] INFO: task touch:412 blocked in I/O wait for more than 5 seconds."),
    ],
)
def test_announcement_is_known_and_is_no_other_triggers(trigger: Trigger, line: str) -> None:
    assert [each for each in Trigger if each.value.announcement.search(line)] == [trigger]


def test_every_trigger_has_a_name_of_its_own() -> None:
    assert len({str(trigger) for trigger in Trigger}) == len(Trigger)
