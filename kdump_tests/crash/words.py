"""What a kernel says as it dies: why, on which CPU and in which task. Read off its console or its log."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from re import Pattern

from kdump_tests.vmcore.analysis import CrashedTask
from kdump_tests.vmcore.inspection import PANIC

# dump_stack_print_info() in lib/dump_stack.c; UID since 6.11, and a word of kdump while it is loaded.
_TASK = re.compile(
    r"\bCPU: (?P<cpu>\d+) (?:UID: \d+ )?PID: (?P<pid>\d+) Comm: (?P<comm>.{1,20}?)"
    r" +(?:Kdump: loaded|Not tainted|Tainted: )"
)


@dataclass(frozen=True)
class Words:
    """By which a panic is known to be the one that was asked for.

    ``announcement`` comes before it, None where the kernel says nothing before. ``last`` is the line of the
    panic itself. An oops that kdump is loaded for has no such line (oops_end() in
    arch/x86/kernel/dumpstack.c calls crash_kexec()), so there it is the oops' own.
    """

    announcement: Pattern[str] | None
    last: Pattern[str]

    @property
    def panic(self) -> Pattern[str]:
        """The line of a panic, of this one or of another."""
        return re.compile(f"{PANIC}|{self.last.pattern}")


def panic(message: str, *, after: str | None) -> Words:
    """Words of a panic with that message and no more, and of what comes before: regular expressions."""
    return Words(re.compile(after) if after else None, re.compile(f"{PANIC}(?:{message})$"))


def oops(what: str, *, after: str) -> Words:
    """Words of an oops: ``what`` stands before its number of four hexadecimal digits, if anything does."""
    return Words(re.compile(after), re.compile(rf"{what}: [0-9a-f]{{4}} \[#1\]"))


@dataclass(frozen=True)
class LastWords:
    """The lines that count, empty where there is none, and the task that the panic names."""

    announcement: str
    panic: str
    task: CrashedTask | None

    def are(self, words: Words) -> bool:
        """Whether this is the panic that was asked for."""
        announced = words.announcement is None or bool(self.announcement)
        return announced and words.last.search(self.panic) is not None


def last_words(lines: Iterable[str], words: Words) -> LastWords | None:
    """The first panic among the lines, whatever it is about; None when there is none.

    What is known by the lines of an announcement is looked for before it, and the task after.
    """
    announcement = ""
    rest = iter(lines)
    for line in rest:
        if words.panic.search(line):
            match = next((match for later in rest if (match := _TASK.search(later))), None)
            task = CrashedTask(int(match["pid"]), match["comm"], int(match["cpu"])) if match else None
            return LastWords(announcement, line, task)
        if words.announcement and not announcement and words.announcement.search(line):
            announcement = line
    return None
