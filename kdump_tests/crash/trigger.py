"""Ways to make a kernel panic, and the words by which its panic is known to be the one asked for."""

import re
from dataclasses import dataclass
from enum import Enum
from re import Pattern


@dataclass(frozen=True)
class Recipe:
    """How a trigger is pulled in the guest, and what the kernel then prints.

    ``announcement`` comes before the panic: a panic without it is somebody else's.
    """

    script: str
    announcement: Pattern[str]
    panic_message: str


class Trigger(Enum):
    """The triggers by name."""

    # drivers/tty/sysrq.c. The file takes a command whatever kernel.sysrq allows; the first write is for
    # those who expect it done as people do it.
    SYSRQ_C = Recipe(
        script="echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger",
        announcement=re.compile(r"sysrq: Trigger a crash"),
        panic_message="sysrq triggered crash",
    )

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")
