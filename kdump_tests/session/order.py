"""What the controller of a run and the process of one of its groups say to each other."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from kdump_tests.errors import LabError

# What a group's process tells: a test begins, a test's report, a step, a fact, that the laboratory cannot
# be opened, and that its session has ended in order.
Kind = Literal["begins", "report", "step", "fact", "stopped", "ended"]


@dataclass(frozen=True)
class Order:
    """What a group's process shall do: which tests, and where the run's report lies."""

    tests: tuple[str, ...]
    report: str
    attempt: int

    def as_text(self) -> str:
        """For the process's standard input."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The order out of its text."""
        told = json.loads(text)
        return cls(tuple(told["tests"]), told["report"], told["attempt"])


@dataclass(frozen=True)
class Said:
    """One message of a group's process."""

    kind: Kind
    content: Mapping[str, Any]

    def as_text(self) -> str:
        """One line."""
        return json.dumps({"kind": self.kind, "content": self.content}, default=str)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The message out of its line.

        Raises:
            LabError: it is none.
        """
        try:
            told = json.loads(text)
            return cls(told["kind"], told["content"])
        except (ValueError, KeyError, TypeError) as error:
            raise LabError("a group's process speaks in an unknown form", line=text[:500]) from error
