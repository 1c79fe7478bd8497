"""The facts of a run, sorted for the reader: the run's own, and each guest's."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

from kdump_tests.report.facts import (
    Accelerator,
    Analysis,
    Crash,
    Dump,
    Fact,
    Finding,
    GuestBooted,
    Note,
    Prediction,
    Reservation,
    RunEnded,
    RunStarted,
    StepDone,
    Verdict,
)

F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class GuestStory:
    """What happened to one guest. The name is empty for checks that judged no guest."""

    name: str
    boots: tuple[GuestBooted, ...]
    reservations: tuple[Reservation, ...]
    crashes: tuple[Crash, ...]
    dumps: tuple[Dump, ...]
    analyses: tuple[Analysis, ...]
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def probed_only(self) -> bool:
        """Whether it never ran: the kernel was only asked what it would keep aside on such a machine."""
        probed = [each.probed_only for each in self.reservations]
        return bool(probed) and all(probed) and not self.boots

    @property
    def cannot_dump(self) -> bool:
        """Whether it was crashed, and only where there can be no dump."""
        return bool(self.crashes) and all(crash.foreseen for crash in self.crashes)


@dataclass(frozen=True)
class Run:
    """A run as far as it is known; without ``ended`` it was killed, or still runs."""

    started: RunStarted | None
    accelerator: Accelerator | None
    prediction: Prediction | None
    guests: tuple[GuestStory, ...]
    steps: tuple[StepDone, ...]
    notes: tuple[Note, ...]
    ended: RunEnded | None

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Self:
        """Guests stand in the order in which they were first heard of."""
        known = tuple(facts)
        names = dict.fromkeys(
            fact.guest
            for fact in known
            if isinstance(fact, GuestBooted | Reservation | Crash | Dump | Verdict)
        )
        return cls(
            started=_last(RunStarted, known),
            accelerator=_last(Accelerator, known),
            prediction=_last(Prediction, known),
            guests=tuple(
                GuestStory(
                    name,
                    boots=tuple(fact for fact in _all(GuestBooted, known) if fact.guest == name),
                    reservations=tuple(fact for fact in _all(Reservation, known) if fact.guest == name),
                    crashes=tuple(fact for fact in _all(Crash, known) if fact.guest == name),
                    dumps=tuple(fact for fact in _all(Dump, known) if fact.guest == name),
                    analyses=tuple(fact for fact in _all(Analysis, known) if fact.guest == name),
                    findings=tuple(fact for fact in _all(Finding, known) if fact.guest == name),
                    verdicts=tuple(fact for fact in _all(Verdict, known) if fact.guest == name),
                )
                for name in names
            ),
            steps=_all(StepDone, known),
            notes=_all(Note, known),
            ended=_last(RunEnded, known),
        )

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """One for each tier and kernel, by memory: a tier is probed and booted by different processes."""
        found: dict[tuple[str, int, str], Reservation] = {}
        for each in (each for guest in self.guests for each in guest.reservations):
            tier = (each.guest, each.memory, each.kernel)
            found[tier] = _both(found[tier], each) if tier in found else each
        return tuple(sorted(found.values(), key=lambda each: each.memory))


def _both(one: Reservation, other: Reservation) -> Reservation:
    """What two facts say of the same tier; where both speak, the later one."""
    known = {
        field.name: value for field in fields(other) if (value := getattr(other, field.name)) is not None
    }
    return replace(one, **known)


def _all(kind: type[F], facts: Iterable[Fact]) -> tuple[F, ...]:
    return tuple(fact for fact in facts if isinstance(fact, kind))


def _last(kind: type[F], facts: Iterable[Fact]) -> F | None:
    return next(reversed(_all(kind, facts)), None)
