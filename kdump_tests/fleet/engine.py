"""What runs tasks, whatever it is made of."""

from collections.abc import Iterator
from typing import Protocol

from kdump_tests.fleet.group import Capacity, Message, Outcome, Task


class Engine(Protocol):
    """Runs tasks, each in a process of its own. Its methods are the main thread's."""

    def capacity(self) -> Capacity:
        """All that it offers, whatever runs."""

    def submit(self, task: Task) -> None:
        """Run it as soon as there is room.

        Raises:
            LabError: there never will be.
        """

    def as_completed(self) -> Iterator[Message | Outcome]:
        """Wait for the next news; ends when nothing submitted is left. More may be submitted meanwhile.

        The messages of a task come in order, then its outcome. A signal's handler may raise out of the
        wait; called again, it goes on with what is still to come.
        """

    def cancel(self) -> None:
        """Ask every process with SIGINT to end in order, and begin none any more; outcomes still come."""

    def kill(self) -> None:
        """End every process at once and wait until all are gone. Safe in a handler of a signal.

        Raises:
            LabError: something survives.
        """
