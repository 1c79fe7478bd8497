"""One way to wait: until a point in time that is passed down."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import tenacity

from kdump_tests.errors import DeadlineExpired

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point in time by which something must have happened. Times are seconds of time.monotonic()."""

    at: float
    what: str

    @classmethod
    def after(cls, seconds: float, what: str) -> Self:
        """The deadline that many seconds from now; ``what`` says what is waited for."""
        return cls(time.monotonic() + seconds, what)

    @property
    def left(self) -> float:
        """Seconds that remain, never below zero."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time remains."""
        return self.left == 0.0

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass, no more than remain: where nothing tells when to look again."""
        time.sleep(min(seconds, self.left))

    def error(self, **facts: object) -> DeadlineExpired:
        """The error to raise when it passed."""
        return DeadlineExpired(f"not in time: {self.what}", **facts)


def wait_until(
    attempt: Callable[[], T],
    deadline: Deadline,
    *,
    retry_on: type[BaseException] | tuple[type[BaseException], ...],
    pause: float = 0.05,
) -> T:
    """The first result of ``attempt`` that does not raise one of ``retry_on``.

    For what gives no event to wait for. When the deadline passes, the last exception is raised as it is.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(retry_on),
        stop=tenacity.stop_before_delay(deadline.left),
        wait=tenacity.wait_fixed(pause),
        reraise=True,
    )(attempt)
