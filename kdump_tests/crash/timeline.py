"""A crash as its console told it: which phase was reached when, by which line, and where it ended."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from kdump_tests.crash.words import Words
from kdump_tests.deadline import Deadline
from kdump_tests.errors import CaptureFailed, DeadlineExpired, GuestLost
from kdump_tests.guest.console import Console, Line
from kdump_tests.guest.machine import SSH_NEAR, STUCK
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import Markers, Phase
from kdump_tests.vmcore.inspection import PANIC

# The kernel's own words, the same in every stack. kexec hands the capture kernel elfcorehdr=, where the
# old memory lies; a boot without it is an ordinary one (kexec-tools; kernel/crash_dump.c).
_CAPTURE_KERNEL = re.compile(r"[Cc]ommand line: .*\belfcorehdr=")
_ORDINARY_KERNEL = re.compile(r"[Cc]ommand line: (?!.*\belfcorehdr=)")
_FINAL_ACTION = re.compile(r"reboot: (Restarting system|machine restart|Power down|System halted)")
# kernel/reboot.c
ENDS: Mapping[FinalAction, re.Pattern[str]] = {
    FinalAction.REBOOT: re.compile(r"reboot: (Restarting system|machine restart)"),
    FinalAction.HALT: re.compile(r"reboot: System halted"),
    FinalAction.POWEROFF: re.compile(r"reboot: Power down"),
}
# kernel/panic.c ends so when no capture kernel took over and panic= is 0: nothing comes after it.
_DEAD = re.compile(r"---\[ end Kernel panic")
_STAMPED = re.compile(r"\[ *\d+\.\d{6}\]")
_BANNER = re.compile(r"\] Linux version ")
_PROGRESS = re.compile(r"\[ *(\d+\.\d) *%\]")

# For how long a crash may stay in a phase, in seconds of the reference machine, where a good one stays
# 1, 2, 27, 1, 1, 14, 1, 1, 2 and 40. makedumpfile's progress starts its phase's time anew.
PATIENCE: Mapping[Phase, float] = {
    Phase.TRIGGERED: 60,
    Phase.PANIC: 60,
    Phase.CAPTURE_KERNEL: 180,
    Phase.TARGET_MOUNTED: 120,
    Phase.DMESG_SAVED: 90,
    Phase.DUMP_STARTED: 240,
    Phase.DUMP_SAVED: 90,
    Phase.FINAL_ACTION: 90,
    Phase.REBOOTED: 240,
}

# What a capture saves only a capture can tell, and only a machine that came back has a login.
_NEEDS: Mapping[Phase, Phase] = {
    Phase.TARGET_MOUNTED: Phase.CAPTURE_KERNEL,
    Phase.DMESG_SAVED: Phase.CAPTURE_KERNEL,
    Phase.DUMP_STARTED: Phase.CAPTURE_KERNEL,
    Phase.DUMP_SAVED: Phase.CAPTURE_KERNEL,
    Phase.FINAL_ACTION: Phase.CAPTURE_KERNEL,
    Phase.LOGIN: Phase.REBOOTED,
}

# What a dying kernel prints of itself is a few screens; in between, others may print as well.
_MOST_SPOKEN = 2000
# What a capture was about to do, by the phase that it then does not reach.
_MISSED: Mapping[Phase, str] = {
    Phase.TARGET_MOUNTED: "reach the dump target",
    Phase.DMESG_SAVED: "save the kernel log",
    Phase.DUMP_SAVED: "save the dump",
}

# All of it together: a guest that is hostile could show signs of life for ever.
_LONGEST_CRASH = 3600.0


@dataclass(frozen=True)
class Event:
    """A phase reached: ``seconds`` since the trigger was pulled.

    It was ``inferred`` where the line is not the console's: then ``seconds`` is the latest that it can have
    been.
    """

    phase: Phase
    seconds: float
    line: Line
    inferred: bool = False


@dataclass(frozen=True)
class Fault:
    """Why a crash is not a good one, with the line that says so where one does.

    ``prevented`` is the phase that could not be reached for it, ``fatal`` says that nothing more can be
    expected of this machine.
    """

    what: str
    line: Line | None
    prevented: Phase | None = None
    fatal: bool = False


@dataclass(frozen=True)
class Timeline:
    """All that was read. ``console`` is the record's path, ``tail`` its last lines at the end of reading.

    ``witness`` is who told of the phases. ``progress`` is makedumpfile's last word on how far it was, in
    percent; None when it gave none. ``spoken`` is what was printed from the trigger's announcement until
    another kernel started.
    """

    events: tuple[Event, ...]
    faults: tuple[Fault, ...]
    progress: float | None
    console: str
    tail: str = field(repr=False)
    spoken: tuple[str, ...] = field(default=(), repr=False)
    witness: str = "the console"

    @property
    def phase(self) -> Phase:
        """The last phase reached."""
        return self.events[-1].phase if self.events else Phase.TRIGGERED

    @property
    def watched(self) -> bool:
        """Whether there was a console to see it on."""
        return bool(self.console)

    def reached(self, phase: Phase) -> bool:
        """Whether this very phase was seen: a later one does not imply it."""
        return any(event.phase is phase for event in self.events)

    def line(self, phase: Phase) -> str:
        """The line that proves a phase; empty when it was not reached."""
        return next((event.line.text for event in self.events if event.phase is phase), "")

    def phase_at(self, line: Line) -> Phase:
        """The phase in which a line was printed."""
        before = [event.phase for event in self.events if event.line.number <= line.number]
        return before[-1] if before else Phase.TRIGGERED

    @property
    def last_words(self) -> tuple[str, ...]:
        """What the crashed kernel itself said from its panic on."""
        panic = self.line(Phase.PANIC)
        if panic not in self.spoken:
            return ()
        said = self.spoken[self.spoken.index(panic) :]
        # The banner of the next kernel comes before its command line, by which that one is known.
        end = next((n for n, text in enumerate(said) if _BANNER.search(text)), None)
        return tuple(text for text in said[:end] if _STAMPED.match(text))

    def of_capture(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        """Those of a console's lines that the capture kernel printed, and what it ran."""
        seen = {event.phase: event.line.number for event in self.events}
        start, end = seen.get(Phase.CAPTURE_KERNEL), seen.get(Phase.REBOOTED)
        if start is None:
            return ()
        return tuple(line for line in lines if start <= line.number and (end is None or line.number < end))

    def supplemented(self, proofs: Iterable[tuple[Phase, str]]) -> Self:
        """With phases of the capture that its console lost, where what was left proves them.

        journald hands on 48 KiB of makedumpfile's progress as one line, and what waits behind it when the
        capture kernel reboots is never printed (Debian 12 and 13, ``-E``; LineMax= in journald.conf(5)).
        Only what came before a phase that was seen, and was not prevented, can have been lost.
        """
        if not self.reached(Phase.CAPTURE_KERNEL):
            return self
        prevented = {fault.prevented for fault in self.faults}
        events = list(self.events)
        for phase, proof in proofs:
            after = next((event for event in self.events if event.phase.rank > phase.rank), None)
            if after and phase not in prevented and not self.reached(phase):
                line = Line(after.line.number, after.line.at, proof)
                events.append(Event(phase, after.seconds, line, inferred=True))
        return replace(self, events=tuple(sorted(events, key=lambda event: event.phase.rank)))

    def require(self, phase: Phase) -> None:
        """Raise CaptureFailed, with all that a person needs next, unless that phase was reached."""
        if not self.reached(phase):
            raise self.failure(f"{phase.value}: never reached", phase)

    def failure(self, message: str, missing: Phase | None = None) -> CaptureFailed:
        """The error that tells how far this crash got and why no further, or not to a ``missing`` phase."""
        fault = next((fault for fault in self.faults if missing and fault.prevented is missing), None)
        fault = fault or next(iter(self.faults), None)
        before = [event for event in self.events if missing is None or event.phase.rank < missing.rank]
        line = fault.line if fault else None
        return CaptureFailed(
            f"{message}; {fault.what}" if fault else message,
            phase_reached=f"{before[-1].phase.value} (+{before[-1].seconds:.1f} s)" if before else "none",
            makedumpfile_was_at="" if self.progress is None else f"{self.progress} %",
            phases_by="" if self.console else self.witness,
            decisive_line=line.text.strip() if line else "",
            last_lines="" if line else self.tail,
            console=f"{self.console}:{line.number}" if line else self.console,
        )


def unseen(
    events: Sequence[tuple[Phase, str]], seconds: float, faults: tuple[Fault, ...], because: str
) -> Timeline:
    """A crash that nobody could watch ``because``: the phases that what it left proves, each with the proof.

    The panic comes as the trigger is pulled; of all later phases it is only known that they were
    reached when ``seconds`` had passed.
    """
    now = time.monotonic()
    told = tuple(
        Event(phase, 0.0 if phase.rank <= Phase.PANIC.rank else seconds, Line(0, now, proof))
        for phase, proof in events
    )
    return Timeline(told, faults, None, "", "", witness=f"what the crash left, as {because}")


class Reader:
    """Turns console lines into events. Knows nothing of time but what the lines carry.

    With ``unheard`` the kernel may die without a word, and the capture kernel be the first that is heard.
    After ``ends_with`` a reboot, the machine is followed until it is back.
    """

    def __init__(
        self,
        markers: Markers,
        words: Words,
        begun: float,
        *,
        ends_with: FinalAction = FinalAction.REBOOT,
        unheard: bool = False,
    ) -> None:
        self._begun = begun
        self._words = words
        self._unheard = unheard
        self._ends_with = ends_with
        announced = ((Phase.TRIGGERED, words.announcement),) if words.announcement else ()
        self._patterns: tuple[tuple[Phase, re.Pattern[str]], ...] = (
            *announced,
            (Phase.PANIC, words.panic),
            (Phase.CAPTURE_KERNEL, _CAPTURE_KERNEL),
            *markers.phases,
            (Phase.FINAL_ACTION, _FINAL_ACTION),
            (Phase.REBOOTED, _ORDINARY_KERNEL),
            (Phase.LOGIN, SSH_NEAR),
        )
        self._markers = markers
        self.events: list[Event] = []
        self.faults: list[Fault] = []
        self.progress: float | None = None
        self.spoken: list[str] = []

    @property
    def phase(self) -> Phase | None:
        """The last phase reached, None before the first."""
        return self.events[-1].phase if self.events else None

    @property
    def ended(self) -> bool:
        """Whether no later line can change anything."""
        last = Phase.LOGIN if self._ends_with is FinalAction.REBOOT else Phase.FINAL_ACTION
        return self.phase in {last, Phase.LOGIN} or any(fault.fatal for fault in self.faults)

    def take(self, line: Line) -> bool:
        """Read one line; whether it is a sign of life that earns new patience.

        Raises:
            GuestLost: the machine panicked before it was told to.
        """
        took = self._take(line)
        if self.phase in {Phase.TRIGGERED, Phase.PANIC} and len(self.spoken) < _MOST_SPOKEN:
            self.spoken.append(line.text)
        return took

    def _take(self, line: Line) -> bool:
        if fault := self._fault(line):
            # What is prevented already is not told again: a capture may try many times.
            if fault.fatal or fault.prevented not in {known.prevented for known in self.faults} - {None}:
                self.faults.append(fault)
            return True
        if progress := _PROGRESS.search(line.text):
            self.progress = float(progress[1])
            return self.phase is Phase.DUMP_STARTED
        # One line may end a phase and begin another.
        reached = [phase for phase, pattern in self._awaited() if pattern.search(line.text)]
        if self.phase is None and reached and not self._begins(reached[0], line):
            raise GuestLost("the guest panicked or rebooted before it was told to", decisive_line=line.text)
        for phase in reached:
            self._reach(phase, line)
        goes_on = self._seen(Phase.CAPTURE_KERNEL) and self._markers.goes_on.search(line.text)
        return bool(reached or goes_on)

    def _reach(self, phase: Phase, line: Line) -> None:
        self.events.append(Event(phase, line.at - self._begun, line))
        if phase is Phase.FINAL_ACTION and not ENDS[self._ends_with].search(line.text):
            self.faults.append(Fault(f"the machine does not {self._ends_with}, as it was told to", line))
        if phase is Phase.REBOOTED and not self._seen(Phase.CAPTURE_KERNEL):
            what = "no capture kernel took over, the machine rebooted"
            self.faults.append(Fault(what, line, prevented=Phase.CAPTURE_KERNEL))

    def _begins(self, phase: Phase, line: Line) -> bool:
        """Whether the crash that was asked for may be heard of so first."""
        match phase:
            case Phase.TRIGGERED:
                return True
            case Phase.PANIC:
                return self._words.announcement is None and bool(self._words.last.search(line.text))
            case Phase.CAPTURE_KERNEL:
                return self._unheard
            case _:
                return False

    def _awaited(self) -> Iterator[tuple[Phase, re.Pattern[str]]]:
        """The phases that may come now: any later one whose ground is laid and that nothing prevented."""
        prevented = {fault.prevented for fault in self.faults}
        for phase, pattern in self._patterns:
            if phase in prevented or (self.phase is not None and phase.rank <= self.phase.rank):
                continue
            needed = _NEEDS.get(phase)
            if needed is None or self._seen(needed):
                yield phase, pattern

    def _fault(self, line: Line) -> Fault | None:
        if self.phase is None:
            return None
        waits = self._markers.waits
        if STUCK.search(line.text) or (waits and waits.search(line.text)):
            who = "the machine that rebooted" if self._seen(Phase.REBOOTED) else "the capture environment"
            return Fault(f"{who} waits for a person at its console", line, fatal=True)
        if self._seen(Phase.REBOOTED):
            panics = PANIC in line.text
            return Fault("the machine panics as it boots again", line, fatal=True) if panics else None
        captures = self._seen(Phase.CAPTURE_KERNEL)
        if _DEAD.search(line.text):
            what = "the capture kernel panicked too" if captures else "no capture kernel took over"
            return Fault(f"{what} and the machine hangs", line, fatal=True)
        if captures and PANIC in line.text:
            return Fault("the capture kernel panicked too", line)
        if captures and self._markers.failed.search(line.text):
            missed, what = next(
                (phase, what)
                for phase, what in _MISSED.items()
                if phase is Phase.DUMP_SAVED or not (self._seen(phase) or self._seen(Phase.DUMP_STARTED))
            )
            return Fault(f"the capture environment could not {what}", line, missed)
        return None

    def _seen(self, phase: Phase) -> bool:
        return any(event.phase is phase for event in self.events)


def read_timeline(
    console: Console, start: int, reader: Reader, deadline: Callable[[float, str], Deadline]
) -> Timeline:
    """Follow the console from line ``start`` until the machine is back, or until it clearly won't be.

    ``deadline`` makes one of seconds of the reference machine. A deadline that passes ends the reading
    with a fault, as does the machine's end.
    """
    index = start
    end = deadline(_LONGEST_CRASH, "the crash ends")
    while not reader.ended:
        phase = reader.phase or Phase.TRIGGERED
        until = min(
            deadline(PATIENCE[phase], f"the crash goes on from {phase.value!r}"), end, key=lambda by: by.at
        )
        patience = until.left
        try:
            for line in console.follow(index, until):
                index += 1
                if reader.take(line):
                    break
            else:
                reader.faults.append(Fault(f"the machine ended after {phase.value!r}", None, fatal=True))
        except DeadlineExpired:
            silence = f"nothing decisive was printed for {patience:.0f} s after {phase.value!r}"
            reader.faults.append(Fault(silence, None, fatal=True))
    return Timeline(
        events=tuple(reader.events),
        faults=tuple(reader.faults),
        progress=reader.progress,
        console=str(console.record),
        tail=console.tail(12),
        spoken=tuple(reader.spoken),
    )
