"""Text that came with a dump: whoever wrote it may have meant it for the terminal of whoever reads it."""


def printable(line: str) -> str:
    r"""The line with all that is not to be printed as ``\x1b``. Tabs stay."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line)
