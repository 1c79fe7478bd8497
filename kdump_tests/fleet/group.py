"""What goes to and fro between who wants groups run and who runs them: plain data."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Need:
    """What a group takes while it runs."""

    memory: int  # bytes of the host's real memory, not the guest's nominal size
    cores: int
    accelerator: str
    architecture: str
    image: str


@dataclass(frozen=True)
class Group:
    """Tests that share one guest, so they run one after the other."""

    name: str
    tests: tuple[str, ...]  # pytest node ids, in order
    need: Need
    seconds: float  # how long it is expected to take
    attempt: int = 1

    @property
    def key(self) -> str:
        """Unique within a run."""
        return f"{self.name}#{self.attempt}"

    def again(self, tests: Iterable[str]) -> "Group":
        """The next attempt, for those of its tests."""
        return replace(self, tests=tuple(tests), attempt=self.attempt + 1)


@dataclass(frozen=True)
class Task:
    """A group and how a host runs it."""

    group: Group
    argv: tuple[str, ...]
    order: str  # the text of the process's standard input
    log: str  # the file that takes both its outputs, on the host where it runs


@dataclass(frozen=True)
class Message:
    """One line that a process wrote to its message pipe."""

    key: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """A process has ended: nothing more comes from it."""

    key: str
    host: str
    exit_status: int  # negative: killed by that signal
    said: str  # the last lines of its log, or why there is none


@dataclass(frozen=True)
class Capacity:
    """What a host offers, or what is left of it."""

    memory: int  # bytes
    cores: int

    def fits(self, need: Need) -> bool:
        """Whether there is room for it."""
        return need.memory <= self.memory and need.cores <= self.cores
