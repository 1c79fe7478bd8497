"""Other settings on warm guests, and a dump that is sent to a second one: one crash shows them all."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.report.facts import Crash, Dump, GuestBooted, StepDone

_CONF = """
ssh kdump@dump-server
path /srv/dumps
core_collector makedumpfile -F -c -d 17
extra_modules virtio_blk
"""
_APPEND = "reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll kdump_verify=here"


@pytest.fixture(scope="module")
def sent(module_runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    conf = tmp_path_factory.mktemp("sent") / "kdump.conf"
    conf.write_text(_CONF)
    run = module_runner.run(
        "--memory=1G", f"--kdump-conf={conf}", f"--kdump-setting=KDUMP_CMDLINE_APPEND={_APPEND}"
    )
    assert run.exit_status == 0, run.output
    assert module_runner.left_overs() == []
    return run


def test_settings_are_those_of_the_crash(sent: SuiteRun) -> None:
    steps = [fact.what for fact in sent.facts if isinstance(fact, StepDone)]
    assert "set KDUMP_COREDIR, SSH, MAKEDUMP_ARGS, KDUMP_CMDLINE_APPEND: capture kernel loaded anew" in steps
    # Some stacks ask for their dump server as they arm.
    written, served, armed = (
        "setting KDUMP_COREDIR, SSH, MAKEDUMP_ARGS, KDUMP_CMDLINE_APPEND",
        "becoming a dump server",
        "arming it anew",
    )
    assert steps.index(written) < steps.index(served) < steps.index(armed)
    (crash,) = (fact for fact in sent.facts if isinstance(fact, Crash))
    lines = {phase.name: phase.line for phase in crash.phases}
    assert "kdump_verify=here" in lines["capture kernel started"]
    assert "makedumpfile -c -d 17" in lines["dump started"]
    # The level keeps user data, so what a process kept in memory was judged too.
    assert (
        sent.verdicts["test_vmcore_holds_what_a_process_kept_in_memory_if_its_level_does"].outcome
        == "passed"
    )
    # What needs debug information is skipped too, where there is none: test_main_job.py sees to that.
    (skipped,) = (
        verdict
        for verdict in sent.verdicts.values()
        if verdict.outcome == "skipped" and "test_dump_analysis.py" not in verdict.test
    )
    assert "extra_modules: kdump-tools has no setting for modules" in skipped.message


def test_a_dump_sent_over_ssh_is_found_and_judged_on_the_dump_server(sent: SuiteRun) -> None:
    assert {
        "test_guest_is_let_in_before_anything_crashes",
        "test_dump_bears_the_name_of_its_sender",
        "test_dump_is_filtered_and_packed_as_was_asked",
        "test_vmcore_is_the_crash_we_caused",
    } <= sent.tests("passed")
    (dump,) = (fact for fact in sent.facts if isinstance(fact, Dump))
    assert re.fullmatch(r"/srv/dumps/192\.0\.2\.\d+-\d{12}", dump.path)
    assert {file.owner for file in dump.files} == {"kdump"}


def test_both_guests_are_forks_and_the_report_says_so(sent: SuiteRun) -> None:
    booted = {fact.guest: fact for fact in sent.facts if isinstance(fact, GuestBooted)}
    assert set(booted) == {"debian-12-1G", "debian-12-512M-for-debian-12-1G"}
    assert {fact.origin for fact in booted.values()} == {"fork of a saved state"}
    assert booted["debian-12-512M-for-debian-12-1G"].keeps_dumps_of == "debian-12-1G"


def test_two_pairs_side_by_side_do_not_meet(sent: SuiteRun, runner: Runner, tmp_path: Path) -> None:
    """All have the same addresses and names; only the keys are each pair's own."""
    assert sent.exit_status == 0  # so there are saved states to fork both from
    (tmp_path / "kdump.conf").write_text(_CONF)
    asked = ("--memory=1G", f"--kdump-conf={tmp_path}/kdump.conf", "-k", "let_in")
    runners = [
        replace(runner, runs=Path(f"{runner.runs}-{n}"), reports=tmp_path / f"reports-{n}") for n in (1, 2)
    ]
    with runners[0].started(*asked) as one, runners[1].started(*asked) as other:
        ended = [process.communicate(timeout=900)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), ended
    assert [each.left_overs() for each in runners] == [[], []]
    for each in runners:
        each.runs.rmdir()
