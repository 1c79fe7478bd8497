"""The lines of /etc/kdump.conf as kdump's scripts read them, and the error that points into one.

Source: kdump_read_conf() in kdump-lib-initramfs.sh of kdump-utils 63f248c. A ``#`` begins a comment wherever
it stands, and quotes around the whole value are taken off.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from kdump_tests.errors import BadInput

_NAME = re.compile(r"[ \t]*([^ \t]+)[ \t]*")
_WORD = re.compile(r"[^ \t]+")


@dataclass(frozen=True)
class Word:
    """A part of a value, and the column where it begins in its line."""

    text: str
    at: int


@dataclass(frozen=True)
class Line:
    """An option and its value, which begins in column ``at`` of the text."""

    number: int
    text: str
    name: str
    value: str
    at: int

    @property
    def words(self) -> tuple[Word, ...]:
        """The value as a shell splits it that does not look for quotes in it."""
        return tuple(Word(found[0], self.at + found.start()) for found in _WORD.finditer(self.value))

    def refuse(self, what: str, kdumpctl_says: str, at: int | None = None, **facts: object) -> NoReturn:
        """Point at a column, which is the value's unless another is given."""
        shown = "".join(character if character.isprintable() else " " for character in self.text)
        raise BadInput(
            f"this is no kdump.conf: {what}",
            line=self.number,
            it_reads=f"{shown}\n{' ' * (self.at if at is None else at)}^",
            kdumpctl_says=kdumpctl_says,
            **facts,
        )

    def refuse_name(self, what: str, kdumpctl_says: str, **facts: object) -> NoReturn:
        """Point at the option's name."""
        self.refuse(what, kdumpctl_says, self.text.index(self.name), **facts)


def lines_of(text: str) -> Iterator[Line]:
    """All that are not empty and no comment."""
    for number, line in enumerate(text.split("\n"), 1):
        found = _NAME.match(line)
        if found and not found[1].startswith("#"):
            yield _unquoted(Line(number, line, found[1], _uncommented(line[found.end() :]), found.end()))


def printed(name: str, value: str) -> str:
    """A line that reads back as the same option and value."""
    return f'{name} "{value}"' if _is_quoted(value) else f"{name} {value}"


def _uncommented(value: str) -> str:
    return value.partition("#")[0].rstrip(" \t")


def _unquoted(line: Line) -> Line:
    if not _is_quoted(line.value):
        return line
    inner = line.value[1:-1]
    skipped = 1 + len(inner) - len(inner.lstrip(" \t"))
    return Line(line.number, line.text, line.name, inner.strip(" \t"), line.at + skipped)


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value.startswith('"') and value.endswith('"')
