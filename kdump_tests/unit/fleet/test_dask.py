"""The engine made of Dask: side by side where there is room, news in order, silent, and gone at the end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kdump_tests.errors import LabError
from kdump_tests.fleet import dask
from kdump_tests.fleet.dask import local_engine
from kdump_tests.fleet.engine import Engine
from kdump_tests.fleet.group import Capacity, Message, Outcome, Task
from kdump_tests.sizes import MIB
from kdump_tests.unit.fleet.tasks import group, python, shell, wait_until_gone

HOST = Capacity(memory=100 * MIB, cores=2)
SLEEPING = "say(f'{os.getpid()}\\n'); time.sleep(60)"


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """An engine that never has news is interrupted: the only wait here that has no deadline."""

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError("no news")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with local_engine(HOST, tmp_path_factory.mktemp("fleet")) as engine:
        yield engine


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "group.log"


def outcomes(engine: Engine) -> dict[str, Outcome]:
    return {news.key: news for news in engine.as_completed() if isinstance(news, Outcome)}


def test_nothing_submitted_is_no_news(engine: Engine) -> None:
    assert list(engine.as_completed()) == []


def test_it_offers_what_it_was_given(engine: Engine) -> None:
    assert engine.capacity() == HOST


def test_all_messages_come_before_the_outcome(engine: Engine, log: Path) -> None:
    engine.submit(python("for i in range(500): say(f'{i}\\n')", log))
    *messages, outcome = engine.as_completed()
    assert messages == [Message("group#1", str(i)) for i in range(500)]
    assert outcome == Outcome("group#1", os.uname().nodename, 0, "")


def test_two_that_fit_run_at_the_same_time(engine: Engine, tmp_path: Path) -> None:
    # Each waits for the other to open its end.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    engine.submit(shell(f"echo met > {fifo}", tmp_path / "a.log", of=group("a")))
    engine.submit(shell(f"cat {fifo}", tmp_path / "b.log", of=group("b")))
    ended = outcomes(engine)
    assert [ended[key].exit_status for key in ("a#1", "b#1")] == [0, 0]
    assert ended["b#1"].said == "met"


@pytest.mark.parametrize(("memory", "cores"), [(60 * MIB, 1), (MIB, 2)])
def test_what_does_not_fit_beside_another_waits(
    engine: Engine, tmp_path: Path, memory: int, cores: int
) -> None:
    for name in "abc":
        code = "say('begun\\n'); time.sleep(0.2); say('ending\\n')"
        engine.submit(python(code, tmp_path / name, of=group(name, memory=memory, cores=cores)))
    news = [(news.key, getattr(news, "text", "ended")) for news in engine.as_completed()]
    assert sorted(news, key=lambda one: one[0]) == news
    assert len(news) == 9


def test_what_fits_nowhere_is_refused(engine: Engine, log: Path) -> None:
    with pytest.raises(LabError, match="no host has room for huge"):
        engine.submit(shell("exit", log, of=group("huge", memory=HOST.memory + 1)))
    assert list(engine.as_completed()) == []


def test_more_can_be_submitted_meanwhile(engine: Engine, log: Path) -> None:
    first = group("first")
    engine.submit(shell("exit 1", log, of=first))
    statuses = []
    for news in engine.as_completed():
        statuses.append((news.key, news.exit_status if isinstance(news, Outcome) else None))
        if len(statuses) == 1:
            engine.submit(shell("exit 2", log, of=first.again(first.tests)))
    assert statuses == [("first#1", 1), ("first#2", 2)]


def test_a_killed_process_gives_its_signal(engine: Engine, log: Path) -> None:
    engine.submit(shell("kill -9 $$", log))
    assert outcomes(engine)["group#1"].exit_status == -9


def test_cancelling_ends_in_order_and_begins_no_more(engine: Engine, tmp_path: Path) -> None:
    code = """
try:
    say('begun\\n'); time.sleep(60)
except KeyboardInterrupt:
    say('torn down\\n'); sys.exit(2)
"""
    engine.submit(python(code, tmp_path / "a", of=group("running", cores=2)))
    engine.submit(python(code, tmp_path / "b", of=group("waiting", cores=2)))
    news = engine.as_completed()
    assert next(news) == Message("running#1", "begun")
    engine.cancel()
    assert next(news) == Message("running#1", "torn down")
    assert [getattr(one, "exit_status", None) for one in news] == [2, -signal.SIGINT]
    assert not (tmp_path / "b").exists()


class Interrupted(BaseException):
    """What a handler of a signal raises."""


@pytest.fixture
def interruption() -> Iterator[Callable[[], None]]:
    """Sends this process a signal, whose handler raises, once its main thread waits."""

    def handle(_number: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handle)
    timers: list[threading.Timer] = []

    def soon() -> None:
        timers.append(threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)))
        timers[-1].start()

    yield soon
    for timer in timers:
        timer.join(20)
    signal.signal(signal.SIGUSR1, before)


def test_a_wait_that_was_interrupted_can_be_resumed(
    engine: Engine, log: Path, interruption: Callable[[], None]
) -> None:
    engine.submit(python("say('begun\\n'); time.sleep(60)", log))
    news = engine.as_completed()
    assert next(news) == Message("group#1", "begun")
    interruption()
    with pytest.raises(Interrupted):
        next(news)
    engine.cancel()
    assert outcomes(engine)["group#1"].exit_status != 0


def test_killing_from_a_handler_leaves_no_process(engine: Engine, log: Path) -> None:
    engine.submit(python(SLEEPING, log))
    news = engine.as_completed()
    first = next(news)
    assert isinstance(first, Message)
    alive: list[bool] = []

    def handle(_number: int, _frame: object) -> None:
        engine.kill()
        alive.append(psutil.pid_exists(int(first.text)))

    before = signal.signal(signal.SIGUSR1, handle)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    outcome = next(news)  # waits meanwhile
    signal.signal(signal.SIGUSR1, before)
    assert alive == [False]
    assert isinstance(outcome, Outcome)
    assert outcome.exit_status == -signal.SIGKILL


def test_killing_what_has_just_been_submitted_leaves_nothing(log: Path, tmp_path: Path) -> None:
    with local_engine(HOST, tmp_path) as engine:
        for name in "abcd":
            engine.submit(python(SLEEPING, tmp_path / name, of=group(name)))
        engine.kill()
        assert {one.exit_status for one in outcomes(engine).values()} == {-signal.SIGKILL}


def test_work_that_cannot_be_done_is_an_outcome(engine: Engine, tmp_path: Path) -> None:
    engine.submit(shell("exit", tmp_path / "nowhere" / "log"))
    (outcome,) = engine.as_completed()
    assert isinstance(outcome, Outcome)
    assert outcome.exit_status == -9
    assert "FileNotFoundError" in outcome.said


def test_a_worker_that_vanishes_is_an_outcome(
    engine: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def vanish(task: Task, tell: object, run: str) -> Outcome:
        from distributed import get_worker

        worker = get_worker()
        assert worker.batched_stream.comm
        worker.loop.add_callback(worker.batched_stream.comm.abort)
        held.wait(20)
        return Outcome(task.group.key, "", 0, "")

    monkeypatch.setattr(dask, "run_task", vanish)
    engine.submit(shell("exit", log))
    (outcome,) = engine.as_completed()
    held.set()
    assert isinstance(outcome, Outcome)
    assert outcome.exit_status == -9
    assert "KilledWorker" in outcome.said


def test_the_end_leaves_no_process_no_thread_no_file(tmp_path: Path) -> None:
    def threads() -> set[str]:
        # Dask keeps one pool of one thread for whatever takes long.
        return {thread.name for thread in threading.enumerate()} - {"Dask-Offload_0"}

    process = psutil.Process()
    before = threads()
    scratch = tmp_path / "scratch"
    with local_engine(HOST, scratch) as engine:
        engine.submit(python(SLEEPING, tmp_path / "log"))
        first = next(engine.as_completed())
        assert isinstance(first, Message)
        assert list(scratch.glob("*/worker-*"))
    wait_until_gone(int(first.text))
    assert process.children(recursive=True) == []
    assert threads() <= before
    assert {path.suffix for path in scratch.glob("*/*")} == {".lock"}  # Dask's, for whoever comes next


def test_it_is_heard_by_nobody_else(engine: Engine) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process().net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) <= {"127.0.0.1"}


def test_nothing_is_printed(tmp_path: Path) -> None:
    # In a process of its own, where nobody has tamed the logging yet.
    code = f"""
from pathlib import Path
from kdump_tests.fleet.dask import local_engine
from kdump_tests.unit.fleet.test_dask import HOST, SLEEPING
from kdump_tests.unit.fleet.tasks import group, python, shell
log = Path({str(tmp_path)!r}, "log")
with local_engine(HOST, log.parent) as engine:
    engine.submit(shell("echo said; exit 1", log))
    engine.submit(shell("exit", log / "nowhere", of=group("cannot")))
    list(engine.as_completed())
    for name in "abc":
        engine.submit(python(SLEEPING, log, of=group(name)))
    next(engine.as_completed())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_rest_of_the_fleet_does_not_pay_for_dask() -> None:
    code = """
import sys
import kdump_tests.fleet.dask, kdump_tests.fleet.packing, kdump_tests.fleet.capacity
assert not {"dask", "distributed"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], timeout=50, check=True)
