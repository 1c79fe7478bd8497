"""Whether a dump holds what a process had in its memory."""

from dataclasses import dataclass

from kdump_tests.vmcore.flaw import Unknown
from kdump_tests.vmcore.inspection import Vmcore
from kdump_tests.vmcore.kept_pages import MapOfPages, left_out
from kdump_tests.vmcore.memory import Refused, memory_of
from kdump_tests.vmcore.opened import open_dump
from kdump_tests.vmcore.page_kinds import Kind


@dataclass(frozen=True)
class Sought:
    """What was looked for in pages of user data. ``frame`` is the first that holds it, None if none does.

    ``unknown_because`` is a clause, empty when there was something to look through.
    """

    frame: int | None = None
    unknown_because: str = ""


def find_in_user_data(dump: Vmcore, content: bytes) -> Sought:
    """Look for bytes within one page of those that the kernel's memory map calls a user's.

    Not in the page cache and not in the kernel's own memory, through which they may have come.

    Raises:
        BadDump, BadInput, NoSpace, ToolMissing: see inspect(); it is read again.
    """
    if not dump.complete:
        return Sought(unknown_because="the dump is not whole")
    if dump.dump_level is not None and Kind.USER in left_out(dump.dump_level):
        return Sought(unknown_because=f"dump level {dump.dump_level} keeps no user data")
    with open_dump(dump.path) as opened:
        try:
            pages = MapOfPages.of(opened.shape.vmcoreinfo, opened.frame_sets)
            any_page = False
            with memory_of(opened.path) as memory:
                for frame in pages.stored(Kind.USER, memory.read):
                    any_page = True
                    if content in memory.page(frame, pages.sections.page_size):
                        return Sought(frame)
        except (Unknown, Refused) as unknown:
            return Sought(unknown_because=str(unknown))
    if dump.dump_level is None and not any_page:
        return Sought(unknown_because="it keeps no user data")
    return Sought()
