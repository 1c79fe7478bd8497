"""kdump broken on purpose: the run fails, at the right test, and names what is wrong."""

from kdump_tests.e2e.suite_runs import Runner
from kdump_tests.report.facts import Reservation

_ONE = "--memory=1G"


def test_disabled_service_is_found_out_and_no_guest_is_crashed_in_vain(runner: Runner) -> None:
    run = runner.run(_ONE, "--kernel-argument=systemd.mask=kdump-tools.service")
    assert run.exit_status == 1, run.output
    assert {
        "test_kdump_service_is_active_where_memory_is_promised",
        "test_capture_kernel_is_loaded_where_memory_is_promised",
    } <= run.tests("failed")
    assert (
        "kdump-tools.service is inactive (masked"
        in run.verdicts["test_kdump_service_is_active_where_memory_is_promised"].message
    )
    assert "was not crashed" in run.verdicts["test_kernel_panics_for_the_reason_we_gave"].message
    assert "test_memory_is_kept_aside_where_promised" in run.tests("passed")
    assert runner.left_overs() == []


def test_missing_crashkernel_is_found_out(runner: Runner) -> None:
    run = runner.run(_ONE, "--crashkernel=none")
    assert run.exit_status == 1, run.output
    assert "test_memory_is_kept_aside_where_promised" in run.tests("failed")
    assert "nothing is kept aside" in run.verdicts["test_memory_is_kept_aside_where_promised"].message
    # kdump-tools' script ends with `exit 0` whatever became of it, so systemd calls the service active.
    loaded = run.verdicts["test_capture_kernel_is_loaded_where_memory_is_promised"].message
    assert "no crashkernel= parameter in the kernel cmdline" in loaded
    assert run.tests("error") == set()
    assert runner.left_overs() == []


def test_machine_that_the_policy_keeps_nothing_aside_on_has_nothing_and_kdump_says_so(
    runner: Runner,
) -> None:
    run = runner.run("--memory=512M", "--policy=rhel9", "-k", "service or aside or agree")
    assert run.exit_status == 0, run.output
    assert set(run.outcomes) == {"passed"}
    told = [fact for fact in run.facts if isinstance(fact, Reservation)]
    assert {(fact.expected, fact.kept) for fact in told} == {(0, 0)}
    assert runner.left_overs() == []


def test_full_disk_fails_log_and_dump_and_the_phases_are_named(runner: Runner) -> None:
    run = runner.run(_ONE, "-p", "kdump_tests.e2e.full_disk")
    assert run.exit_status == 1, run.output
    log = run.verdicts["test_capture_kernel_saves_the_dmesg"]
    assert "dmesg saved: never reached; the capture environment could not save the kernel log" in log.message
    # kdump-tools says "saved vmcore in" all the same, and that must not be believed.
    dump = run.verdicts["test_capture_kernel_saves_the_dump"]
    assert "dump saved: never reached; the capture environment could not save the dump" in dump.message
    assert "phase reached   dump started" in dump.message
    assert "makedumpfile Failed." in dump.message
    assert {log.outcome, dump.outcome} == {"failed"}
    assert {"test_capture_kernel_starts", "test_machine_comes_back_by_itself"} <= run.tests("passed")
    assert not {"test_vmcore_is_complete", "test_vmcore_is_the_crash_we_caused"} & run.tests("passed")
    assert runner.left_overs() == []
