"""A crash's phases as bars: what the page draws, in percent of its width."""

from dataclasses import dataclass

from kdump_tests.report.facts import Crash


@dataclass(frozen=True)
class Bar:
    """The way to one phase, from the phase before it; the last one of a failed crash is ``bad``."""

    name: str
    at: float
    took: float
    line: str
    left: float
    width: float
    bad: bool


def bars(crash: Crash) -> tuple[Bar, ...]:
    """One bar per phase, each beginning where the one before it ended."""
    whole = max((phase.seconds for phase in crash.phases), default=0.0) or 1.0
    drawn: list[Bar] = []
    before = 0.0
    for number, phase in enumerate(crash.phases, 1):
        # Console lines can be stamped out of order by a hair: nothing is drawn to the left of zero.
        begun = min(before, phase.seconds)
        drawn.append(
            Bar(
                name=phase.name,
                at=phase.seconds,
                took=phase.seconds - begun,
                line=phase.line,
                left=max(0.0, 100 * begun / whole),
                width=max(0.0, 100 * (phase.seconds - begun) / whole),
                bad=bool(crash.failure) and number == len(crash.phases),
            )
        )
        before = phase.seconds
    return tuple(drawn)
