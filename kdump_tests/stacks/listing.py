"""What lies at a local dump target."""

from collections import defaultdict

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Shell
from kdump_tests.stacks.stack import DumpDirectory, SavedFile


def dump_directories(shell: Shell, target: str, until: Deadline) -> tuple[DumpDirectory, ...]:
    """The directories right below ``target`` with their files, sorted by name; none if it is missing.

    Raises:
        LabError: the guest answers something else.
    """
    # NUL ends a record, as names may hold anything else.
    output = shell.attempt(
        "find", target, "-mindepth", "1", "-maxdepth", "2", "-printf", r"%d %y %m %u %s %p\0", until=until
    )
    # 1 is find's own: the target is missing, or part of it cannot be read.
    if output.status not in {0, 1}:
        raise LabError("the guest cannot list its dumps", command=output.command, said=output.stderr.strip())
    return parse_listing(output.stdout)


def parse_listing(listing: str) -> tuple[DumpDirectory, ...]:
    """What find printed: per entry depth, type, mode, owner, size and path, ended by NUL."""
    directories: dict[str, tuple[int, str]] = {}
    files: defaultdict[str, list[SavedFile]] = defaultdict(list)
    for entry in filter(None, listing.split("\0")):
        try:
            depth, kind, mode, owner, size, path = entry.split(" ", 5)
            if (depth, kind) == ("1", "d"):
                directories[path] = (int(mode, 8), owner)
            elif depth == "2":
                if not (size.isascii() and size.isdecimal()):
                    raise ValueError(size)
                parent, name = path.rsplit("/", 1)
                files[parent].append(SavedFile(name, int(size), int(mode, 8), owner))
        except ValueError:
            raise LabError("the guest lists its dumps in an unknown form", entry=repr(entry)) from None
    return tuple(
        DumpDirectory(path, mode, owner, tuple(sorted(files[path], key=lambda file: file.name)))
        for path, (mode, owner) in sorted(directories.items())
    )
