"""Names and numbers as people read them."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from kdump_tests.sizes import GIB, KIB, MIB

_TIB = 1024 * GIB


@dataclass(frozen=True)
class NodeId:
    """A test's name in its parts. ``classname`` is JUnit's: the module and the classes, dotted."""

    classname: str
    function: str
    parameter: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of pytest's node id; of a module that could not be collected, there is only the file."""
        path, _, rest = text.partition("::")
        names, bracket, parameter = rest.partition("[")
        *classes, function = names.split("::")
        module = path.removesuffix(".py").replace("/", ".")
        if not function:
            return cls(module, path, "")
        return cls(".".join([module, *classes]), function, bracket + parameter)

    @property
    def title(self) -> str:
        """The sentence that the name is: ``test_vmcore_is_complete`` says "vmcore is complete"."""
        if not self.function.startswith("test_"):
            return self.function
        return self.function.removeprefix("test_").replace("_", " ")

    def __str__(self) -> str:
        return f"{self.title} {self.parameter}".rstrip()


def seconds(duration: float) -> str:
    """``0.02 s``, ``12.3 s``, ``4 min 12 s``, ``1 h 04 min``."""
    if duration < 0.995:
        return f"{duration:.2f} s"
    if duration < 59.95:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(number: int) -> str:
    """About how much: ``70.0 MiB``."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"


def exact_size(number: int) -> str:
    """Not a byte rounded away: where witnesses are compared, 192 MiB is not 192 MiB and a page."""
    for unit, name in ((_TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if number and number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} bytes"


def moment(at: float) -> str:
    """``2026-11-23 09:38:56 UTC``; what no calendar has as a number, as a damaged dump says anything."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at} seconds since 1970"


def count(number: int, noun: str) -> str:
    """``1 check``, ``2 checks``, ``2 crashes``."""
    plural = f"{noun}es" if noun.endswith("sh") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def folder_name(name: str) -> str:
    """The name as a folder's: plain characters only, and still different for different names."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "-", name).lstrip(".-")[:80]
    if plain == name and name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}".lstrip("-")
