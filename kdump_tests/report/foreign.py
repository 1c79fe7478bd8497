"""Words from guests, made safe to show: in a terminal, in XML, in HTML.

A guest under test prints what it likes, escape sequences and half-written bytes included.
"""

import os
import re
from pathlib import PurePosixPath
from urllib.parse import quote

# Colours, cursor movements, window titles: instructions to a terminal, nothing to read. ECMA-48.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # two characters
)

# What is left of the controls is shown as a picture of itself. XML 1.0 forbids them, surrogates, and
# U+FFFE and U+FFFF; the directional controls can make a line read as what it does not say.
_SHOWN_AS = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    | {0x7F: "\N{SYMBOL FOR DELETE}"}
    | dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), "\ufffd")
    | {
        code: f"<U+{code:04X}>"
        for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    }
)


def readable(text: str) -> str:
    """The text without terminal sequences, every other control made visible; lines stay lines."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ESCAPE_SEQUENCE.sub("", text).translate(_SHOWN_AS)


def one_line(text: str) -> str:
    """The same on one line, with single spaces."""
    return " ".join(readable(text).split())


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line for line in map(one_line, readable(text).splitlines()) if line), "")


def relative_url(path: str) -> str:
    """The link to a file of the report, or nothing where the path does not stay inside it."""
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts:
        return ""
    try:
        return "/".join(quote(os.fsencode(part), safe="") for part in parts.parts)
    except UnicodeEncodeError:  # no file can have this name
        return ""
