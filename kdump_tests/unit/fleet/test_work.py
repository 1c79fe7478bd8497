"""A task's process: what it says, how it ends, and that nothing of it is left."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.fleet.group import Message, Outcome, Task
from kdump_tests.fleet.work import end_all, run_task, wait_for_all
from kdump_tests.unit.fleet.tasks import python, shell, soon, wait_for_text, wait_until_gone

NUMBERS = itertools.count()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "group.log"


@pytest.fixture
def run() -> str:
    """A run that has not ended."""
    return f"run {next(NUMBERS)}"


def ran(task: Task) -> tuple[list[str], Outcome]:
    """What a task's process said, and how it ended."""
    said: list[str] = []
    outcome = run_task(task, lambda message: said.append(message.text), f"run {next(NUMBERS)}")
    return said, outcome


@contextmanager
def running(task: Task, run: str) -> Iterator[Future[Outcome]]:
    """A task that has said something, in a thread of its own."""
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_task, task, lambda _: begun.set(), run)
        try:
            assert begun.wait(20)
            yield future
        finally:
            end_all(signal.SIGKILL, run)


def test_messages_come_in_order_and_then_the_outcome(log: Path) -> None:
    said, outcome = ran(python("for i in range(1000): say(f'{i} ä\\n')", log))
    assert said == [f"{i} ä" for i in range(1000)]
    assert outcome == Outcome("group#1", os.uname().nodename, 0, "")


def test_a_message_carries_the_groups_key(log: Path, run: str) -> None:
    told: list[Message] = []
    run_task(python("say('x\\n')", log), told.append, run)
    assert told == [Message("group#1", "x")]


def test_a_message_comes_while_the_process_runs(log: Path, run: str) -> None:
    with running(python("say('begun\\n'); time.sleep(60)", log), run) as future:
        assert not future.done()


def test_what_is_no_utf8_is_replaced(log: Path) -> None:
    said, _ = ran(shell(r"printf 'a\377b\n' > /dev/fd/$KDUMP_VERIFY_MESSAGES", log))
    assert said == ["a\ufffdb"]


def test_a_last_line_that_was_cut_off_does_not_count(log: Path) -> None:
    said, _ = ran(python("say('whole\\ntorn')", log))
    assert said == ["whole"]


def test_a_line_that_was_cancelled_does_not_count(log: Path) -> None:
    said, _ = ran(python("say('to\\x18\\nwhole\\n')", log))
    assert said == ["whole"]


def test_a_long_line_is_taken(log: Path) -> None:
    said, outcome = ran(python("say('x' * 3_000_000 + '\\n')", log))
    assert [len(line) for line in said] == [3_000_000]
    assert outcome.exit_status == 0


def test_a_line_without_end_ends_the_process(log: Path) -> None:
    said, outcome = ran(python("while True: say('x' * 60_000)", log))
    assert said == []
    assert outcome.exit_status == -signal.SIGKILL
    assert "a message of 4194304 bytes" in outcome.said


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -TERM $$", -15), ("kill -9 $$", -9)])
def test_the_exit_status_is_the_processs_own(log: Path, script: str, status: int) -> None:
    assert ran(shell(script, log))[1].exit_status == status


def test_a_program_that_is_not_there_says_so(log: Path) -> None:
    _, outcome = ran(Task(shell("", log).group, ("/nowhere/python",), "", str(log)))
    assert outcome.exit_status == 127
    assert "/nowhere/python" in outcome.said


def test_both_outputs_go_to_a_private_log_after_what_it_held(log: Path) -> None:
    ran(shell("echo one; echo two >&2", log))
    ran(shell("echo three", log))
    assert log.read_text() == "one\ntwo\nthree\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_last_lines_are_told(log: Path) -> None:
    _, outcome = ran(shell("seq 100000; echo; echo", log))
    assert outcome.said.splitlines() == [str(number) for number in range(99981, 100001)]


def test_no_more_is_read_of_an_endless_line(log: Path) -> None:
    _, outcome = ran(python("sys.stdout.write('x' * 1_000_000)", log))
    assert len(outcome.said) == 16384


def test_the_order_is_the_standard_input_and_all_of_it(log: Path) -> None:
    order = "ordnung muß sein\n" * 20_000
    said, _ = ran(python("data = sys.stdin.buffer.read(); say(f'{len(data)}\\n')", log, order=order))
    assert said == [str(len(order.encode()))]


def test_an_order_that_nobody_reads_holds_nothing_up(log: Path) -> None:
    assert ran(shell("exit 0", log, order="x" * 1_000_000))[1].exit_status == 0


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ran(shell("exit 0", tmp_path / "nowhere" / "log"))


GRANDCHILD = """
import subprocess
grandchild = subprocess.Popen(
    ["sh", "-c", "{script}"], start_new_session={apart}, pass_fds=[int(os.environ["KDUMP_VERIFY_MESSAGES"])]
)
say(f"{{grandchild.pid}}\\n")
"""


@pytest.fixture
def stray() -> Iterator[Callable[[str], int]]:
    """Takes a pid that a process said; ended with the test."""
    pids: list[int] = []

    def note(said: str) -> int:
        pids.append(int(said))
        return pids[-1]

    yield note
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "script", ["sleep 60", "while :; do echo more > /dev/fd/$KDUMP_VERIFY_MESSAGES; done"]
)
def test_a_grandchild_that_holds_the_pipe_is_not_waited_for(
    log: Path, script: str, stray: Callable[[str], int]
) -> None:
    said, outcome = ran(python(GRANDCHILD.format(script=script, apart=True), log))
    stray(next(line for line in said if line != "more"))
    assert outcome.exit_status == 0


def test_nothing_of_the_process_group_survives(log: Path) -> None:
    said, _ = ran(python(GRANDCHILD.format(script="sleep 60", apart=False), log))
    wait_until_gone(int(said[0]))


def test_sigint_lets_a_process_end_in_its_own_order(log: Path, run: str) -> None:
    code = """
try:
    say('begun\\n'); time.sleep(60)
except KeyboardInterrupt:
    print('tore down'); sys.exit(2)
"""
    with running(python(code, log), run) as future:
        end_all(signal.SIGINT, run)
        outcome = future.result(20)
    assert (outcome.exit_status, outcome.said) == (2, "tore down")


def test_a_second_sigint_does_not_disturb_the_teardown(log: Path, tmp_path: Path, run: str) -> None:
    tearing, go_on = tmp_path / "tearing", tmp_path / "go on"
    os.mkfifo(go_on)
    code = f"""
try:
    say('begun\\n'); time.sleep(60)
except KeyboardInterrupt:
    open({str(tearing)!r}, 'w').write('yes'); open({str(go_on)!r}).read(); sys.exit(2)
"""
    with running(python(code, log), run) as future:
        end_all(signal.SIGINT, run)
        wait_for_text(tearing)
        end_all(signal.SIGINT, run)
        go_on.write_text("go on")
        assert future.result(20).exit_status == 2


def test_sigkill_ends_all_at_once(log: Path, run: str) -> None:
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN); say('begun\\n'); time.sleep(60)"
    with running(python(code, log), run) as future:
        end_all(signal.SIGINT, run)
        end_all(signal.SIGKILL, run)
        wait_for_all(run, soon("the process is dead"))
        assert future.result(20).exit_status == -signal.SIGKILL


def test_a_process_that_runs_on_is_said(log: Path, run: str) -> None:
    with (
        running(python("say('begun\\n'); time.sleep(60)", log), run),
        pytest.raises(LabError, match="not in time: peace") as caught,
    ):
        wait_for_all(run, Deadline.after(0.1, "peace"))
    assert caught.value.facts["groups"] == "group#1"


def test_a_run_that_has_ended_begins_nothing(log: Path, run: str) -> None:
    end_all(signal.SIGINT, run)
    outcome = run_task(shell("echo began", log), lambda _: None, run)
    assert outcome.exit_status == -signal.SIGINT
    assert not log.exists()


def test_another_run_is_left_alone(log: Path, run: str) -> None:
    with running(python("say('begun\\n'); time.sleep(60)", log), run) as future:
        end_all(signal.SIGKILL, "another run")
        wait_for_all("another run", soon())
        assert not future.done()


def test_a_listener_that_fails_leaves_no_process(log: Path, run: str) -> None:
    pids: list[int] = []

    def fail(message: Message) -> None:
        pids.append(int(message.text))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run_task(python("say(f'{os.getpid()}\\n'); time.sleep(60)", log), fail, run)
    wait_until_gone(pids[0])


PARENT = """
from pathlib import Path
from kdump_tests.fleet.work import run_task
from kdump_tests.unit.fleet.tasks import python
task = python("say(f'{os.getpid()}\\\\n'); time.sleep(60)", Path(__import__("sys").argv[1]))
run_task(task, lambda message: print(message.text, flush=True), "run")
"""


def test_a_process_dies_with_its_parent(log: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(log)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until_gone(child)
