"""What tainted a kernel, by its log.

Source: kernel/panic.c, taint_flags and print_tainted(); Documentation/admin-guide/tainted-kernels.rst.
"""

import re
from collections.abc import Sequence

MEANINGS = {
    "P": "proprietary module",
    "F": "module loaded by force",
    "S": "CPU out of specification",
    "R": "module unloaded by force",
    "M": "machine check",
    "B": "bad page",
    "U": "requested by user space",
    "D": "oops or BUG before",
    "A": "ACPI table overridden",
    "W": "warning before",
    "C": "staging driver",
    "I": "firmware bug worked around",
    "O": "module from outside the kernel's tree",
    "E": "unsigned module",
    "L": "soft lockup before",
    "K": "live patch",
    "X": "the distribution's own mark",
    "T": "randomized structures",
    "N": "in-kernel test",
    "J": "fwctl's mutating debug operation",
}

# A letter or a blank for each flag, then the release. 6.12 adds a line with words: "Tainted: [W]=WARN".
_TAINTED = re.compile(r"(?:Not tainted|Tainted: ([A-Z ]+?)) +[0-9]")


def taints(log: Sequence[str]) -> str | None:
    """The letters of the last trace in the log, "" for a kernel that is not tainted, None without a trace.

    G says that every module is under the GPL, which is no taint.
    """
    for line in reversed(log):
        if match := _TAINTED.search(line):
            return (match[1] or "").replace(" ", "").replace("G", "")
    return None
