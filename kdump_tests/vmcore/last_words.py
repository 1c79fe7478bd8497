"""A kernel's log as several tools write it down."""

import re
from collections.abc import Iterable

from kdump_tests.vmcore.text import printable

# makedumpfile since 1.7.7 writes who printed a line, and so does the console of a kernel with
# CONFIG_PRINTK_CALLER, without a blank (info_print_prefix()); dmesg does not: [T474] a thread, [C0] a CPU.
_CALLER = re.compile(r"^(\[ *\d+\.\d{6}\]) ?\[ *[TC]\d+\]")


def as_dmesg_has_it(lines: Iterable[str]) -> list[str]:
    """Lines of a log, whoever wrote it down, as `Vmcore.kernel_log` has them."""
    return [printable(_CALLER.sub(r"\1", line)) for line in lines]
