"""A console without a machine: what it prints is what a test writes."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from kdump_tests.crash.timeline import Reader, Timeline, read_timeline
from kdump_tests.crash.trigger import Trigger
from kdump_tests.deadline import Deadline
from kdump_tests.guest.console import Console
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import Markers, Phase

# A good cycle of Debian 13 in the lines that count, as observed.
GOOD = {
    Phase.TRIGGERED: "[   88.212954] sysrq: Trigger a crash",
    Phase.PANIC: "[   88.213352] Kernel panic - not syncing: sysrq triggered crash",
    Phase.CAPTURE_KERNEL: "[    0.000000] Command line: elfcorehdr=0x33000000 root=/dev/vda reset_devices",
    Phase.TARGET_MOUNTED: "[  OK  ] Reached target local-fs.target - Local File Systems.",
    Phase.DMESG_SAVED: "[   43.6] kdump-tools: saved dmesg content in /var/crash/202611231034.",
    Phase.DUMP_STARTED: "[   44.0] kdump-tools: running makedumpfile -c -d 31 /proc/vmcore | compress > x",
    Phase.DUMP_SAVED: "[   74.6] kdump-tools: saved vmcore in /var/crash/202611231034.",
    Phase.FINAL_ACTION: "[   74.945941] reboot: Restarting system",
    Phase.REBOOTED: "[    0.000000] Command line: root=/dev/vda rw console=ttyS0 crashkernel=512M-:192M",
    Phase.LOGIN: "kdump-guest login: ",
}


def good_until(last: Phase) -> list[str]:
    """What a good crash prints up to a phase."""
    return [line for phase, line in GOOD.items() if phase.rank <= last.rank]


def good_after(phase: Phase) -> list[str]:
    """What a good crash prints after a phase."""
    return [line for later, line in GOOD.items() if later.rank > phase.rank]


class Serial:
    """A console and the patience of whoever reads it. ``asked`` holds what each deadline was for."""

    def __init__(
        self, record: Path, markers: Markers = Debian.markers, ends_with: FinalAction = FinalAction.REBOOT
    ) -> None:
        self.console = Console(record)
        self._markers, self._ends_with = markers, ends_with
        self.asked: list[str] = []

    def prints(self, lines: Iterable[str]) -> None:
        """Print them and see them arrive."""
        before = self.console.end
        text = "\r\n".join([*lines, "---- printed ----", ""])
        with self.console.record.open("a", encoding="utf-8") as record:
            record.write(text)
        arrived = self.console.expect(re.compile("---- printed"), before, Deadline.after(10, "lines arrive"))
        assert arrived

    def plays(self, recording: Path) -> Timeline:
        """Play what a real machine printed, and read it as a crash."""
        with self.console.record.open("ab") as record:
            record.write(recording.read_bytes())
        return self.read()

    def tells(self, *lines: str, trigger: Trigger = Trigger.SYSRQ_C) -> Timeline:
        """Read what a machine prints that is gone thereafter."""
        self.prints(lines)
        self.console.machine_ended()
        return self.read(trigger=trigger)

    def falls_silent_after(self, *lines: str) -> Timeline:
        """Read what a machine prints that hangs thereafter."""
        self.prints(lines)
        return self.read(patience=0.05)

    def read(
        self, patience: float = 10, patience_in_all: float = 10, trigger: Trigger = Trigger.SYSRQ_C
    ) -> Timeline:
        """Read it as a crash."""

        def deadline(_seconds: float, what: str) -> Deadline:
            self.asked.append(what)
            return Deadline.after(patience_in_all if what == "the crash ends" else patience, what)

        recipe = trigger.value
        reader = Reader(
            self._markers,
            recipe.words,
            time.monotonic(),
            ends_with=self._ends_with,
            unheard=recipe.in_nmi,
        )
        return read_timeline(self.console, 0, reader, deadline)

    def place_of(self, text: str) -> str:
        """Where the first line with that text stands: path:number."""
        lines = self.console.record.read_text(encoding="utf-8").split("\n")
        number = next(number for number, line in enumerate(lines, 1) if text in line)
        return f"{self.console.record}:{number}"
