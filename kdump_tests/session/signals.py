"""Ctrl-C, SIGTERM, SIGHUP: the first ends the session in order, the second at once; no guest is left.

Not SIGHUP where it is ignored already: that is what nohup is for.
"""

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

    heeded = [number for number in _SIGNALS if not _is_for_nobody(number)]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_for_nobody(number: signal.Signals) -> bool:
    # SIGINT is ignored by all that a shell starts in the background, and must still end a session.
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
