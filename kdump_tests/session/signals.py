"""Ctrl-C, SIGTERM, SIGHUP: the first ends the session in order, the second at once; no guest is left."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from kdump_tests.errors import LabError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption(KeyboardInterrupt):
    """Raised in the main thread by the first signal, so that everything is torn down on the way out."""


@contextmanager
def orderly(sweep: Callable[[], object]) -> Iterator[list[int]]:
    """Handle signals meanwhile; gives those that came, as they come.

    ``sweep`` must remove every guest, and needs nothing of what was cut off.
    """
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise Interruption(signal.Signals(number).name)
        # The teardown that runs now may hang; its user has lost patience. No cleanup of Python's either.
        with suppress(LabError, OSError):
            sweep()
        os._exit(128 + number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
