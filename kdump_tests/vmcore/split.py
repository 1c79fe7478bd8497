"""Dumps that ``makedumpfile --split`` wrote into several files: judged as the one that they are.

No reader but makedumpfile's own takes the parts of a dump, so they are put together in a file that has no
name for long.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kdump_tests.errors import BadDump, LabError
from kdump_tests.vmcore.compressed import write_sparse
from kdump_tests.vmcore.flaw import Flaw, Partial
from kdump_tests.vmcore.image import not_a_dump
from kdump_tests.vmcore.inspection import Vmcore, inspect
from kdump_tests.vmcore.kdump_compressed import put_together
from kdump_tests.vmcore.opened import Opened, open_dump


def dumps_among(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files that are a dump each, and those that are parts of one together, where there are several."""
    # One file is looked into once: opening it unpacks it, where it is compressed as a whole.
    parts = tuple(path for path in paths if _is_part(path)) if len(paths) > 1 else ()
    if len(parts) < 2:
        return [(path,) for path in paths]
    return [parts, *((path,) for path in paths if path not in parts)]


def inspect_parts(paths: Sequence[Path], *, pages: bool = False) -> Vmcore:
    """Look into a dump that is in one file or in several; see inspect().

    Raises:
        BadDump: also if these are parts of several dumps, or not all of one.
        BadInput, NoSpace, ToolMissing: see inspect().
    """
    if len(paths) == 1:
        return inspect(paths[0], pages=pages)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_dump(path)) for path in paths]
        for path, each in zip(paths, opened, strict=True):
            if not isinstance(each.flaw, Partial):
                raise not_a_dump(path, f"this part of it is not whole: {each.flaw}")
        opened.sort(key=_range)
        with tempfile.NamedTemporaryFile(prefix="kdump-verify-") as whole:
            end = 0
            try:
                for offset, chunk in put_together([each.image for each in opened]):
                    write_sparse(whole, offset, chunk, paths[0])
                    end = max(end, offset + len(chunk))
            except Flaw as flaw:
                raise not_a_dump(paths[0], str(flaw), "name all parts of one dump") from flaw
            whole.truncate(end)
            whole.flush()
            found = inspect(Path(whole.name), pages=pages)
    size = sum(each.size for each in opened)
    return replace(found, path=paths[0], size=size, further_parts=tuple(paths[1:]))


def _is_part(path: Path) -> bool:
    try:
        with open_dump(path) as opened:
            return opened.shape.part is not None
    except (BadDump, LabError):  # whoever looks into it will say so
        return False


def _range(opened: Opened) -> tuple[int, int]:
    part = opened.shape.part
    return (part.first, part.end) if part else (0, 0)
