"""The kernel's log out of a dump; out of a torn one in a process of its own.

libkdumpfile maps its file. Where a page of the mapping lies behind the end of the file, reading it is a
SIGBUS, of which the process dies: seen with drgn 0.3.0 and a dump that ends within its bitmaps.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.memory import Refused, memory_of
from kdump_tests.vmcore.printk import kernel_log
from kdump_tests.vmcore.printk_log import describes_log, printk_log
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo

_LONGEST_SECONDS = 60


def read_log(path: Path, vmcoreinfo: Vmcoreinfo) -> tuple[str, ...]:
    """The lines as dmesg prints them.

    Raises:
        Refused: drgn cannot open the dump.
        Flaw: the log is not in its memory, or not whole.
    """
    with memory_of(path) as memory:
        read = printk_log if describes_log(vmcoreinfo) else kernel_log
        return tuple(read(memory.read, vmcoreinfo))


def read_log_aside(path: Path, vmcoreinfo: Vmcoreinfo) -> tuple[str, ...]:
    """The same, whatever becomes of the process that reads.

    Raises:
        Refused: it was killed, also for taking too long.
        Flaw: see read_log().
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kdump_tests.vmcore.log", path],
            input=json.dumps(dict(vmcoreinfo)), stdout=subprocess.PIPE, text=True,
            timeout=_LONGEST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        raise Refused(f"drgn did not read it in {_LONGEST_SECONDS} seconds") from expired
    if done.returncode < 0:
        raise Refused(f"drgn died of {signal.Signals(-done.returncode).name}")
    told = json.loads(done.stdout)
    if isinstance(told, str):
        raise Flaw(told)
    return tuple(told)


def _main() -> None:
    vmcoreinfo = Vmcoreinfo(json.load(sys.stdin))
    told: tuple[str, ...] | str
    try:
        told = read_log(Path(sys.argv[1]), vmcoreinfo)
    except Flaw as flaw:
        told = str(flaw)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    _main()
