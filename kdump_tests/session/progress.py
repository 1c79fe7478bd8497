"""Live steps on the terminal: one line as each begins, one with its duration as it ends."""

import sys
import time
from collections.abc import Callable

from kdump_tests.steps import Step


class Progress:
    """Writes steps as plain lines: the same with a terminal, in a log file, and in CI."""

    def __init__(self, write_line: Callable[[str], None] | None = None) -> None:
        self._write_line = write_line or _to_stderr
        self._begun = time.monotonic()

    def __call__(self, step: Step) -> None:
        """Show one step."""
        if step.seconds is None:
            self.say(f"{step.subject}: {step.what} …")
        elif step.failed:
            self.say(f"{step.subject}: {step.what}: FAILED after {step.seconds:.1f} s")
        else:
            self.say(f"{step.subject}: {step.what}: done in {step.seconds:.1f} s")

    def say(self, line: str) -> None:
        """Show anything else, with the time that has passed."""
        self._write_line(f"{time.monotonic() - self._begun:6.1f} s  {line}")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
