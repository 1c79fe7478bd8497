"""A dump looked into with debug information: by drgn, and by crash(8) if a second judge is wanted."""

from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadDump, BadInput, DeadlineExpired, KdumpVerifyError, ToolMissing
from kdump_tests.vmcore import crash_utility
from kdump_tests.vmcore.agreement import contradictions, differences
from kdump_tests.vmcore.analysis import Analysis, analyse
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.debug_information import Search, chosen, find
from kdump_tests.vmcore.inspection import Vmcore
from kdump_tests.vmcore.opened import open_dump

NEEDS_DEBUG_INFORMATION = "the crashed task, its backtrace, the tasks, the modules and the use of memory"
# Of 1 GiB guests' dumps it took 1.7 to 2.7 s on a busy host.
_DRGN_SECONDS = 120.0


@dataclass(frozen=True)
class Judgement:
    """What the judges say. ``trouble`` is why the first one says nothing although there is a vmlinux."""

    search: Search
    analysis: Analysis | None = None
    session: Session | None = None
    trouble: KdumpVerifyError | None = None
    no_second: str = ""  # why crash was not asked; empty when it was, or was not wanted

    @property
    def not_judged(self) -> str:
        """One sentence on what could not be judged, and why; empty when all was."""
        if self.analysis is None:
            reason = self.trouble.message if self.trouble else "no vmlinux of its build ID was found"
            return f"{NEEDS_DEBUG_INFORMATION}: {reason}"
        return "; ".join(f"{what}: {reason}" for what, reason in self.analysis.unread.items())

    @property
    def contradictions(self) -> tuple[str, ...]:
        """See agreement.contradictions(); empty where only one of the two spoke."""
        return contradictions(self.analysis, self.session) if self.analysis and self.session else ()

    @property
    def findings(self) -> tuple[str, ...]:
        """See agreement.differences()."""
        return differences(self.analysis, self.session) if self.analysis and self.session else ()


def judge(dump: Vmcore, cache: Path, given: Path | None = None, *, second: bool = False) -> Judgement:
    """Find the vmlinux, unless one is ``given``, and have the dump read with it.

    Raises:
        BadInput: the one given is of another kernel.
    """
    if given is not None:
        search = Search(chosen(given, dump.build_id, dump.path), (str(given),))
    else:
        search = find(dump.build_id, dump.kernel_release, cache)
    if search.vmlinux is None:
        return Judgement(search)
    analysis: Analysis | None = None
    trouble: KdumpVerifyError | None = None
    session, no_second = None, ""
    if dump.further_parts:
        reason = BadInput("drgn and crash(8) read a split dump only when it is put together again",
                          way_out="makedumpfile --reassemble PART… FILE, and inspect that")  # fmt: skip
        return Judgement(search, trouble=reason)
    with open_dump(dump.path) as opened:
        path = opened.path
        try:
            until = Deadline.after(_DRGN_SECONDS, f"drgn reads {dump.path.name}")
            analysis = analyse(path, search.vmlinux, until)
        except (BadDump, DeadlineExpired) as error:
            trouble = error
        if second:
            try:
                session = crash_utility.ask(path, search.vmlinux)
            except ToolMissing as error:
                no_second = error.message
    return Judgement(search, analysis, session, trouble, no_second)
