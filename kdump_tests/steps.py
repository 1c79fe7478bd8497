"""What the suite is doing, said as it happens: a name, a duration, an outcome.

Rooms announce steps; the plugin shows them on the terminal and keeps them in the report.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Listener = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """One thing done. ``seconds`` is None while it is under way; ``at`` is time.time()."""

    subject: str
    what: str
    at: float = field(default_factory=time.time)
    seconds: float | None = None
    failed: bool = False


_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of every step announced meanwhile, from whatever thread announces it."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def announce(step: Step) -> None:
    """Tell all listeners."""
    for listener in tuple(_listeners):
        listener(step)


@contextmanager
def step(subject: str, what: str) -> Iterator[None]:
    """Announce a step at its start and again, with its duration, at its end."""
    begun = Step(subject, what)
    announce(begun)
    clock = time.monotonic()
    failed = True
    try:
        yield
        failed = False
    finally:
        announce(Step(subject, what, begun.at, time.monotonic() - clock, failed))
