"""Text that came with a dump: whoever wrote it may have meant it for the terminal of whoever reads it."""

from collections.abc import Iterator

_LINE = 64  # of a short string, and of the time before it


def stamped(nanoseconds: int, text: str) -> Iterator[str]:
    """The lines of a log record as dmesg prints them, each with the record's time."""
    stamp = f"[{nanoseconds // 10**9:5d}.{nanoseconds // 1000 % 10**6:06d}] "
    yield from (stamp + printable(line) for line in text.split("\n"))


def cost(text: str) -> int:
    """Bytes of memory that its lines come to, about: each is a string of its own, also an empty one."""
    return len(text) + _LINE * (text.count("\n") + 1)


def printable(line: str) -> str:
    r"""The line with all that is not to be printed as ``\x1b``. Tabs stay."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line)
