"""The process in which drgn reads a dump with debug information: writes what it found as JSON, and ends.

    python -m kdump_tests.vmcore.drgn_reading DUMP VMLINUX

Everything in a dump was written by whoever owned the machine: each list is read up to a length that no
machine has, and each text is made printable.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import drgn
from drgn.helpers.linux.kallsyms import module_kallsyms
from drgn.helpers.linux.mm import totalram_pages
from drgn.helpers.linux.module import address_to_module, for_each_module
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_cpu
from drgn.helpers.linux.vmstat import global_node_page_state, nr_free_pages

from kdump_tests.sizes import GIB
from kdump_tests.vmcore.analysis import CrashedTask, Frame, Task
from kdump_tests.vmcore.text import printable

_MOST_TASKS = 1 << 16  # PID_MAX_LIMIT is 2**22; a machine with more than this is told of in part
_MOST_MODULES = 4096
_MOST_FRAMES = 256
_MOST_SYMBOLS = 1 << 17  # of one module; amdgpu has some 60,000
_LONGEST_NAME = 256
# Beside what is mapped of the files. In all, dumps of 1 GiB guests took 273 MiB (Linux 6.1) and 357 (6.12).
_MOST_MEMORY = 2 * GIB

# What drgn cannot read or does not find. libkdumpfile's own errors come as bare Exception.
_NOT_READ = (drgn.FaultError, LookupError, ValueError, TypeError, OverflowError, AttributeError, OSError)
_USES = {
    "page cache": "NR_FILE_PAGES",
    "anonymous": "NR_ANON_MAPPED",
    "slab, reclaimable": "NR_SLAB_RECLAIMABLE_B",
    "slab, not reclaimable": "NR_SLAB_UNRECLAIMABLE_B",
}

Read = TypeVar("Read")
Told = TypeVar("Told")


def main() -> int:
    """The exit status: 0 when the dump could be opened, whatever of it could be read."""
    dump, vmlinux = map(Path, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    try:
        program = drgn.Program()
        program.set_core_dump(dump)
        program.load_debug_info([vmlinux])
    except Exception as error:
        print(f"drgn cannot open it: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    json.dump(facts(program), sys.stdout)
    return 0


def facts(program: drgn.Program) -> dict[str, Any]:
    """See Analysis; whatever cannot be read leaves the rest."""
    unread: dict[str, str] = {}

    def told(name: str, read: Callable[[], Read], otherwise: Read) -> Read:
        try:
            return read()
        except _NOT_READ as error:
            unread[name] = _clean(str(error) or type(error).__name__)
        except Exception as error:
            if type(error) is not Exception:
                raise
            unread[name] = _clean(str(error))
        return otherwise

    def several(name: str, read: Callable[[], Iterable[Told]], most: int) -> list[Told]:
        nothing: list[Told] = []
        found = told(name, lambda: list(islice(read(), most + 1)), nothing)
        if len(found) > most:
            unread[name] = f"there are more than {most}"
        return found[:most]

    nobody: CrashedTask | None = None
    nowhere: str | None = None
    unknown: dict[str, int] = {}
    crashed = told("crashed", lambda: _crashed(program), nobody)
    return {
        "reader": f"drgn {metadata.version('drgn')}",
        "release": told("release", lambda: _text(program["init_uts_ns"].name.release), nowhere),
        "crashed": crashed and asdict(crashed),
        "backtrace": [
            asdict(frame) for frame in several("backtrace", lambda: _backtrace(program), _MOST_FRAMES)
        ],
        "tasks": [asdict(task) for task in several("tasks", lambda: _tasks(program), _MOST_TASKS)],
        "modules": several("modules", lambda: _modules(program), _MOST_MODULES),
        "memory": told("memory", lambda: _memory(program), unknown),
        "unread": unread,
    }


def _crashed(program: drgn.Program) -> CrashedTask:
    thread = program.crashed_thread()
    return CrashedTask(thread.tid, _text(thread.object.comm), task_cpu(thread.object))


def _backtrace(program: drgn.Program) -> Iterator[Frame]:
    for frame in program.crashed_thread().stack_trace():
        yield _frame(program, frame)


def _frame(program: drgn.Program, frame: drgn.StackFrame) -> Frame:
    try:
        name, line, column = frame.source()
        place = f"{name}:{line}:{column}"
    except LookupError:
        place = ""
    return Frame(_clean(frame.function_name or _in_a_module(program, frame) or frame.name), _clean(place))


def _in_a_module(program: drgn.Program, frame: drgn.StackFrame) -> str:
    """The function's name, as the kernel keeps it for kallsyms: no module's debug information is at hand."""
    at = frame.pc if frame.interrupted else frame.pc - 1  # after a call, which may be a function's last
    try:
        symbols = _symbols(program, address_to_module(program, at).value_())
    except _NOT_READ:
        return ""
    return next((each.name for each in symbols if each.address <= at < each.address + each.size), "")


@cache  # a stack leads through the same module many times
def _symbols(program: drgn.Program, module: int) -> tuple[drgn.Symbol, ...]:
    """Of the module whose struct lies there; none where that is 0."""
    read = drgn.Object(program, "struct module *", module)
    if not module or read.kallsyms.num_symtab > _MOST_SYMBOLS:
        return ()
    return tuple(module_kallsyms(read))


def _tasks(program: drgn.Program) -> Iterator[Task]:
    for task in for_each_task(program):
        yield Task(task.pid.value_(), _text(task.comm), task.real_parent.tgid.value_())


def _modules(program: drgn.Program) -> Iterator[str]:
    for module in for_each_module(program):
        yield _text(module.name)


def _memory(program: drgn.Program) -> dict[str, int]:
    page = program["PAGE_SIZE"].value_()
    pages = {"total": totalram_pages(program), "free": nr_free_pages(program)}
    for use, item in _USES.items():
        pages[use] = global_node_page_state(program, program[item])
    return {use: number * page for use, number in pages.items()}


def _text(array: drgn.Object) -> str:
    text: bytes = array.string_()
    return _clean(text.decode("utf-8", "backslashreplace"))


def _clean(text: str) -> str:
    return printable(" ".join(text.split())[:_LONGEST_NAME])


if __name__ == "__main__":
    sys.exit(main())
