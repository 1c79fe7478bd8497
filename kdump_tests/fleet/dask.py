"""An engine made of Dask distributed: it places tasks by what they need, its events carry the messages.

One host needs no more than a list and threads. With Dask it runs the code that many hosts would. The
scheduler, the one worker and the client live in this process; importing them costs half a second, so it is
done only when an engine is wanted.
"""

# Dask's own annotations are incomplete.
# mypy: disallow-untyped-calls=False

import asyncio
import logging
import secrets
import signal
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.fleet.engine import Engine
from kdump_tests.fleet.group import Capacity, Message, Need, Outcome, Task
from kdump_tests.fleet.work import end_all, run_task, wait_for_all
from kdump_tests.sizes import MIB

if TYPE_CHECKING:
    from distributed import Client, Future

_GRACE_SECONDS = 10.0

_SETTINGS = {
    # A task that lost its worker is the session's to run again, which knows what it has done.
    "distributed.scheduler.allowed-failures": 0,
    # Without it a task that no worker can take waits for ever.
    "distributed.scheduler.no-workers-timeout": "5s",
    # A run that was stopped for minutes (^Z) goes on where it was.
    "distributed.scheduler.worker-ttl": None,
    # Their web servers cannot be left out, but they need not serve anything.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # The last 1000 messages would be kept several times over: reports of tests, each some kilobytes.
    "distributed.admin.low-level-log-length": 10,
    # Idle, all this took 4% of a core.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing": False,
}


@contextmanager
def local_engine(capacity: Capacity, scratch: Path) -> Iterator[Engine]:
    """An engine of this host alone, whose files are below ``scratch``.

    At its end every process that still runs is killed.

    Raises:
        LabError: one of them survives that.
    """
    import dask
    from distributed import Client, Scheduler, SpecCluster, Worker

    # The only words that could come from Dask are about its own machinery, at moments it chooses.
    for name in ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # LocalCluster would be shorter, but has two web servers listen to the whole network.
    quiet = {"protocol": "inproc://", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    worker = {
        "nthreads": max(2, capacity.cores),
        "resources": _resources(capacity),
        "memory_limit": 0,  # what takes memory are processes
    }
    with dask.config.set({**_SETTINGS, "temporary-directory": str(scratch)}):
        # Such as that this takes long, on a busy host.
        with warnings.catch_warnings(action="ignore"):
            cluster = SpecCluster(
                scheduler={"cls": Scheduler, "options": quiet},
                workers={0: {"cls": Worker, "options": {**quiet, **worker}}},
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            engine = _DaskEngine(client, capacity)
            try:
                yield engine
            finally:
                engine.kill()
                client.sync(engine.settle)


class _DaskEngine:
    """News are gathered by Dask's own thread, and handed out whole to the main thread."""

    def __init__(self, client: "Client", capacity: Capacity) -> None:
        assert client.loop, "a client that is not closed has Dask's thread at its side"
        self._client = client
        self._loop = client.loop
        self._capacity = capacity
        self._run = f"kdump-verify-{secrets.token_hex(8)}"
        self._all_told: dict[str, asyncio.Event] = {}  # by key, for what is unfinished
        self._followers: set[asyncio.Task[None]] = set()
        self._unfinished: set[str] = set()
        self._news: deque[Message | Outcome] = deque()
        self._arrivals: SimpleQueue[None] = SimpleQueue()
        client.subscribe_topic(self._run, self._hear)

    def capacity(self) -> Capacity:
        return self._capacity

    def submit(self, task: Task) -> None:
        key, need = task.group.key, task.group.need
        if not self._capacity.fits(need):
            raise LabError(f"no host has room for {task.group.name}", needs=need, offered=self._capacity)
        self._all_told[key] = asyncio.Event()
        future = self._client.submit(
            _work,
            task,
            self._run,
            key=key,
            resources=_resources(need),
            pure=False,
            retries=0,
            fifo_timeout=0,  # of two that wait, the one submitted first
        )
        self._loop.add_callback(self._begin_to_follow, key, future)
        # Last: what a handler of a signal cut off before must not be waited for.
        self._unfinished.add(key)

    def as_completed(self) -> Iterator[Message | Outcome]:
        # In whatever line the handler of a signal raises, no outcome may get lost: it would be waited for.
        while self._unfinished or self._news:
            with suppress(Empty):
                self._arrivals.get(block=not self._news)
            if self._news:
                news = self._news[0]
                if isinstance(news, Outcome):
                    self._unfinished.discard(news.key)
                self._news.popleft()
                yield news

    def cancel(self) -> None:
        end_all(signal.SIGINT, self._run)

    def kill(self) -> None:
        end_all(signal.SIGKILL, self._run)
        wait_for_all(self._run, Deadline.after(_GRACE_SECONDS, "the groups' processes are dead"))

    async def settle(self) -> None:
        """Wait for Dask to notice that all has ended. In Dask's thread."""
        if self._followers:
            await asyncio.wait(self._followers, timeout=_GRACE_SECONDS)

    def _hear(self, event: tuple[float, tuple[str, str | None]]) -> None:
        """Take a message, or the mark that it was the last. In Dask's thread."""
        _, (key, text) = event
        if key not in self._all_told:
            return  # of a worker that had been given up
        if text is None:
            self._all_told[key].set()
        else:
            self._publish(Message(key, text))

    def _begin_to_follow(self, key: str, future: "Future[Outcome]") -> None:
        follower = asyncio.ensure_future(self._follow(key, future))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    async def _follow(self, key: str, future: "Future[Outcome]") -> None:
        """See a task to its end. In Dask's thread."""
        error = await future.exception()
        if future.status != "finished":
            why = f"{type(error).__name__}: {error}" if error else f"its task was {future.status}"
            outcome = Outcome(key, "", -signal.SIGKILL, why)
        else:
            outcome = await future
            # They went another way, and may come later.
            until = Deadline.after(_GRACE_SECONDS, "all messages have come")
            try:
                await asyncio.wait_for(self._all_told[key].wait(), until.left)
            except TimeoutError:
                outcome = replace(outcome, said=f"{outcome.said}\n{until.error()}")
        del self._all_told[key]
        self._publish(outcome)

    def _publish(self, news: Message | Outcome) -> None:
        self._news.append(news)
        self._arrivals.put(None)


def _work(task: Task, run: str) -> Outcome:
    """On a worker."""
    from distributed import get_worker

    worker = get_worker()

    def tell(message: Message) -> None:
        worker.log_event(run, (message.key, message.text))

    try:
        return run_task(task, tell, run)
    finally:
        worker.log_event(run, (task.group.key, None))


def _resources(of: Capacity | Need) -> dict[str, float]:
    # Dask counts in floats. A division by a power of two is exact.
    return {"MEMORY": of.memory / MIB, "CORES": float(of.cores)}
