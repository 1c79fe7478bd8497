"""What was saved: is it a usable dump of the very crash we caused?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.stacks.stack import Stack
from kdump_tests.vmcore.last_words import as_dmesg_has_it
from kdump_tests.vmcore.printk import seconds_since_boot

LAST_LINES = 20


@pytest.fixture
def saved_log(crash: Crash, stack: Stack) -> list[str]:
    """The kernel log beside the dump, line by line."""
    if stack.artifacts.dmesg is None:
        pytest.skip("with these settings the dump comes alone, without a kernel log")
    return crash.dump.log_text.splitlines()


def test_exactly_one_dump_directory_is_new(crash: Crash) -> None:
    assert [directory.path for directory in crash.new_directories] == [crash.dump.directory.path]


def test_vmcore_is_complete(crash: Crash) -> None:
    assert crash.dump.vmcore.complete, crash.dump.vmcore.incomplete_because


def test_vmcore_is_of_the_kernel_that_ran(crash: Crash) -> None:
    assert crash.dump.vmcore.kernel_release == crash.kernel.release
    assert crash.dump.vmcore.build_id == crash.kernel.build_id


def test_vmcore_keeps_what_its_dump_level_keeps(crash: Crash) -> None:
    kept = crash.dump.vmcore.kept
    if kept is None:
        pytest.skip(f"pages are not told apart: {crash.dump.vmcore.kept_unknown_because}")
    assert not kept.lost, "; ".join(kept.remarks)


def test_vmcore_is_of_the_moment_of_the_panic(crash: Crash) -> None:
    earliest, latest = crash.moment
    assert crash.dump.vmcore.crash_time is not None
    assert earliest <= crash.dump.vmcore.crash_time <= latest


def test_vmcore_is_the_crash_we_caused(crash: Crash) -> None:
    told = crash.said_in(crash.dump.vmcore.kernel_log)
    assert told.are(crash.trigger.value.words), told
    assert told.task == crash.said.task


def test_kernel_log_is_of_the_time_when_the_nonce_was_written(crash: Crash) -> None:
    told = [seconds_since_boot(line) for line in crash.dump.vmcore.kernel_log if crash.nonce in line]
    assert told == [crash.planted.logged_at]


def test_vmcore_holds_what_a_process_kept_in_memory_if_its_level_does(crash: Crash) -> None:
    found = crash.dump.planted
    if found.unknown_because:
        pytest.skip(f"not judged: {found.unknown_because}")
    held = f"what process {crash.planted.holder} kept is in the user data of the vmcore"
    assert (found.frame is not None) == found.promised, f"{held}: {found}"


def test_saved_dmesg_holds_the_panic(crash: Crash, saved_log: list[str]) -> None:
    told = crash.said_in(saved_log)
    assert told.are(crash.trigger.value.words), told
    assert told.task == crash.said.task


def test_nothing_is_missing_of_what_the_stack_promises(crash: Crash, stack: Stack) -> None:
    names = [file.name for file in crash.dump.directory.files]
    promised = [artifact.name for artifact in stack.artifacts.all]
    assert [name.pattern for name in promised if not any(map(name.fullmatch, names))] == []


def test_saved_dmesg_ends_as_the_log_in_the_dump(crash: Crash, saved_log: list[str]) -> None:
    saved = as_dmesg_has_it(saved_log)
    assert saved[-LAST_LINES:] == list(crash.dump.vmcore.kernel_log[-LAST_LINES:])


def test_last_words_on_the_console_are_in_the_log_in_the_dump(crash: Crash) -> None:
    if not crash.timeline.watched:
        pytest.skip(f"not seen: its phases come from {crash.timeline.witness}")
    said = as_dmesg_has_it(crash.timeline.last_words)
    if not said:
        pytest.skip(
            "it died unheard: in NMI context printk() takes notes, and the capture kernel came first"
        )
    assert [line for line in said if line not in crash.dump.vmcore.kernel_log] == []


def test_files_have_the_owner_and_mode_that_the_stack_promises(crash: Crash, stack: Stack) -> None:
    found = {file.name: (oct(file.mode), file.owner) for file in crash.dump.directory.files}
    promised = {
        file.name: found[file.name]
        for file in crash.dump.directory.files
        if any(artifact.promises(file) for artifact in stack.artifacts.all)
    }
    assert found == promised
