"""Whether a dump holds what a process had in its memory."""

from dataclasses import dataclass

from kdump_tests.deadline import Deadline
from kdump_tests.vmcore.flaw import Unknown
from kdump_tests.vmcore.inspection import Vmcore
from kdump_tests.vmcore.kept_pages import KeptPages, MapOfPages, left_out
from kdump_tests.vmcore.memory import Refused, memory_of
from kdump_tests.vmcore.opened import Opened, open_dump
from kdump_tests.vmcore.page_kinds import Kind


@dataclass(frozen=True)
class Sought:
    """What was looked for in pages of user data. ``frame`` is the first that holds it, None if none does.

    ``promised`` tells whether the dump level keeps such pages. ``unknown_because`` is a clause, empty when
    one can tell.
    """

    frame: int | None = None
    promised: bool = True
    unknown_because: str = ""


def find_in_user_data(dump: Vmcore, content: bytes, until: Deadline) -> Sought:
    """Look for bytes within one page of those that the kernel's memory map calls a user's.

    Not in the page cache and not in the kernel's own memory, through which they may have come.

    Raises:
        BadDump, BadInput, NoSpace, ToolMissing: see inspect(); it is read again if it has such pages.
    """
    if not dump.complete:
        return Sought(unknown_because="the dump is not whole")
    promised = dump.dump_level is None or Kind.USER not in left_out(dump.dump_level)
    if dump.dump_level is not None and dump.kept and not _keeps_user_data(dump.kept):
        return Sought(promised=promised)
    with open_dump(dump.path) as opened:
        try:
            frame, any_page = _first_frame(opened, content, until)
        except (Unknown, Refused) as unknown:
            return Sought(unknown_because=str(unknown))
    if dump.dump_level is None and frame is None and not (any_page and _keeps_all_user_data(dump.kept)):
        # Of what a level leaves out, an ELF file keeps runs that are too short for a segment of their own
        # (PFN_EXCLUDED of makedumpfile).
        kept = "not all" if any_page else "no"
        return Sought(unknown_because=f"it keeps {kept} user data, and does not tell its dump level")
    return Sought(frame, promised)


def _keeps_user_data(kept: KeptPages) -> bool:
    return any(pages.stored for pages in kept.kinds if pages.kind is Kind.USER)


def _keeps_all_user_data(kept: KeptPages | None) -> bool:
    return kept is not None and not any(pages.left_out for pages in kept.kinds if pages.kind is Kind.USER)


def _first_frame(opened: Opened, content: bytes, until: Deadline) -> tuple[int | None, bool]:
    """The first frame that holds it, and whether there was any of a user's."""
    any_page = False
    pages = MapOfPages.of(opened.shape.vmcoreinfo, opened.frame_sets)
    with memory_of(opened.path) as memory:
        for frame in pages.stored(Kind.USER, memory.read):
            any_page = True
            if until.expired:
                raise Unknown(f"not all of its user data was read in time ({until.what})")
            if content in memory.page(frame, pages.sections.page_size):
                return frame, True
    return None, any_page
