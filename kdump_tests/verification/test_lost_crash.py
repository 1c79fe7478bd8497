"""The kernel panics where no dump can be: does the suite see that there is none, and why?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.errors import CaptureFailed
from kdump_tests.stacks.stack import Phase


def test_kernel_panics_for_the_reason_we_gave(lost_crash: Crash) -> None:
    assert lost_crash.said.are(lost_crash.trigger.value.words), lost_crash.said


def test_capture_fails_as_it_must(lost_crash: Crash) -> None:
    faults = [fault.what for fault in lost_crash.timeline.faults]
    assert faults == [lost_crash.trigger.value.not_dumped_because]


def test_nothing_is_called_a_dump(lost_crash: Crash) -> None:
    assert lost_crash.new_directories == ()
    with pytest.raises(CaptureFailed, match=lost_crash.trigger.value.not_dumped_because):
        _ = lost_crash.dump


def test_machine_comes_back_by_itself(lost_crash: Crash) -> None:
    lost_crash.timeline.require(Phase.REBOOTED)
    assert lost_crash.boot_id_after not in {None, lost_crash.kernel.boot_id}
