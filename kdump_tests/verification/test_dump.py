"""What was saved: is it a usable dump of the very crash we caused?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.stacks.stack import Stack


def test_exactly_one_dump_directory_is_new(crash: Crash) -> None:
    assert [directory.path for directory in crash.new_directories] == [crash.dump.directory.path]


def test_vmcore_is_complete(crash: Crash) -> None:
    assert crash.dump.vmcore.complete, crash.dump.vmcore.incomplete_because


def test_vmcore_is_of_the_kernel_that_ran(crash: Crash) -> None:
    assert crash.dump.vmcore.kernel_release == crash.kernel.release
    assert crash.dump.vmcore.build_id == crash.kernel.build_id


def test_vmcore_is_of_the_moment_of_the_panic(crash: Crash) -> None:
    assert crash.dump.vmcore.crash_time == pytest.approx(crash.panic_time, abs=crash.clock_tolerance)


def test_vmcore_is_the_crash_we_caused(crash: Crash) -> None:
    told = crash.said_in(crash.dump.vmcore.kernel_log)
    assert told.are(crash.trigger.value.words), told
    assert told.task == crash.said.task


def test_saved_dmesg_holds_the_panic(crash: Crash) -> None:
    told = crash.said_in(crash.dump.log_text.splitlines())
    assert told.are(crash.trigger.value.words), told
    assert told.task == crash.said.task


def test_files_have_the_owner_and_mode_that_the_stack_promises(crash: Crash, stack: Stack) -> None:
    found = {file.name: (oct(file.mode), file.owner) for file in crash.dump.directory.files}
    promised = {
        name: (oct(artifact.mode), artifact.owner)
        for name in found
        for artifact in stack.artifacts.all
        if artifact.name.fullmatch(name)
    }
    assert found == promised
