"""Ways to make a kernel panic, and the words by which its panic is known to be the one asked for."""

import re
from dataclasses import dataclass
from enum import Enum
from re import Pattern


@dataclass(frozen=True)
class Recipe:
    """How a trigger is pulled, and what the kernel then prints.

    ``prepare`` is a shell script that must succeed, ``script`` the one of which the machine dies.
    ``announcement`` comes before the panic: a panic without it is somebody else's. Words: kernel sources of
    6.1 and 7.2.
    """

    announcement: Pattern[str]
    panic_message: str
    script: str
    prepare: str = ""


class Trigger(Enum):
    """The triggers by name."""

    # drivers/tty/sysrq.c. The file takes a command whatever kernel.sysrq allows; the first write is for
    # those who expect it done as people do it.
    SYSRQ_C = Recipe(
        script="echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger",
        announcement=re.compile(r"sysrq: Trigger a crash"),
        panic_message="sysrq triggered crash",
    )
    # mm/oom_kill.c: 2 also counts where a cgroup's limit was met. tail keeps the last line, and zeros have
    # no end of one.
    OUT_OF_MEMORY = Recipe(
        prepare="echo 2 > /proc/sys/vm/panic_on_oom; swapoff -a",
        script="exec tail /dev/zero",
        announcement=re.compile(r"invoked oom-killer: "),
        panic_message="Out of memory: compulsory panic_on_oom is enabled",
    )
    # kernel/hung_task.c: whoever writes to a frozen file system waits where no signal reaches.
    HUNG_TASK = Recipe(
        prepare="cd /proc/sys/kernel; echo 5 > hung_task_timeout_secs; echo 1 > hung_task_panic",
        script="fsfreeze --freeze /; exec touch /frozen",
        announcement=re.compile(r"INFO: task \S+:\d+ (?:blocked|is blocked) .*for more than \d+ seconds"),
        panic_message="hung_task: blocked tasks",
    )

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")
