"""Captured, but: what a capture complained of although it saved its dump. The next one may not."""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import Pattern

from kdump_tests.guest.console import Line

_SIGNATURES = Path(__file__).with_name("trouble.toml")
_MOST_ALIKE = 3  # lines of one kind; a broken disk has thousands
# Of a line, in characters: what tells trouble stands at its beginning, and a hostile guest writes lines
# whose search takes time as their length squared.
_LONGEST_LOOKED_AT = 512


@dataclass(frozen=True)
class Signature:
    """One kind of trouble, and the words by which it is known. ``sources`` say who prints them.

    With ``until_saved`` it is none once the dump is saved.
    """

    id: str
    means: str
    pattern: Pattern[str]
    sources: tuple[str, ...]
    until_saved: bool = False


@dataclass(frozen=True)
class Trouble:
    """A signature that was seen: the first lines that have it, and how many there are in all."""

    signature: Signature
    lines: tuple[Line, ...]
    count: int


@cache
def signatures() -> tuple[Signature, ...]:
    """All of them, as trouble.toml has them."""
    described = tomllib.loads(_SIGNATURES.read_text())["signature"]
    return tuple(
        Signature(**{**each, "pattern": re.compile(each["pattern"]), "sources": tuple(each["sources"])})
        for each in described
    )


def troubles(
    lines: Iterable[Line], saved_before: Callable[[Line], bool] = lambda _: False
) -> tuple[Trouble, ...]:
    """What these lines of a capture complain of, in the order in which it began to.

    ``saved_before`` tells whether a line was printed when the dump was saved.
    """
    seen: dict[str, list[Line]] = {}
    counted: dict[str, int] = {}
    for line in lines:
        text = line.text[:_LONGEST_LOOKED_AT]
        for signature in signatures():
            if signature.pattern.search(text) and not (signature.until_saved and saved_before(line)):
                counted[signature.id] = counted.get(signature.id, 0) + 1
                if len(alike := seen.setdefault(signature.id, [])) < _MOST_ALIKE:
                    alike.append(line)
    known = {signature.id: signature for signature in signatures()}
    return tuple(Trouble(known[id_], tuple(alike), counted[id_]) for id_, alike in seen.items())
