"""Generations of kernels that read ``crashkernel=`` alike, as data in generations.toml."""

import re
from functools import cache
from pathlib import Path

from kdump_tests.errors import BadInput, LabError
from kdump_tests.validation import Bytes, Strict, load_toml

PATH = Path(__file__).with_name("generations.toml")


class Generation(Strict):
    """One of them; what each key means stands at the head of the file. Sizes in bytes."""

    name: str
    release: re.Pattern[str]
    ram_rounding: Bytes
    source: str
    architecture: str | None = None
    offset_align: Bytes | None = None
    size_align: Bytes = 1
    knows_auto: bool = False
    knows_high: bool = True
    knows_cma: bool = False
    plain_goes_above: bool = True
    nothing_to_high: bool = False
    low_for_all: bool = False
    high_adds_low: bool = True


class _Generations(Strict):
    name: str
    generation: tuple[Generation, ...]


@cache
def generations() -> tuple[Generation, ...]:
    """All that are known, in the order in which they are tried."""
    file = load_toml(_Generations, PATH, PATH.stem, what="list of generations", refusal=LabError)
    return file.generation


def newest(architecture: str) -> Generation:
    """What is expected of a kernel of which nothing is known."""
    return generation_of("99.0", architecture)


def generation_of(release: str, architecture: str) -> Generation:
    """How a kernel reads crashkernel=, by what ``uname -r`` says of it.

    Raises:
        BadInput: it is no kernel release.
    """
    for generation in generations():
        if generation.architecture in {None, architecture} and generation.release.search(release):
            return generation
    raise BadInput(f"{release!r} is no kernel release", way_out="as `uname -r` says it: 6.1.0-50-amd64")
