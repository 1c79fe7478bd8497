"""What copies the vmcore: ``core_collector`` of /etc/kdump.conf.

Options and verdicts: main() and check_param_for_creating_dumpfile() of makedumpfile b7587f1; that -F has to
fit the target: verify_core_collector() in mkdumprd of kdump-utils 63f248c. mkdumprd hands over one source
and one file, so --split, which wants several, never passes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, TypeAlias

from kdump_tests.stacks.kdump_line import Line, Word

MAX_LEVEL = 31
"""Of -d and of --message-level (MAX_DUMP_LEVEL, MAX_MSG_LEVEL)."""
_MOST_LEVELS = 32  # NUM_ARRAY_DUMP_LEVEL

_NAME = "makedumpfile"
_FLAGS = frozenset("cDEeFfhlpRvXz")
_WITH_VALUE = frozenset("bdgiLx")
# Each long option, and whether a value follows.
_LONG = {
    "split": False, "reassemble": False, "xen-syms": True, "xen-vmcoreinfo": True, "xen_phys_start": True,
    "message-level": True, "vtop": True, "dump-dmesg": False, "partial-dmesg": False, "config": True,
    "help": False, "diskset": True, "cyclic-buffer": True, "eppic": True, "non-mmap": False,
    "mem-usage": False, "splitblock-size": True, "work-dir": True, "num-threads": True,
    "check-params": False, "dry-run": False, "show-stats": False, "extension": True,
}  # fmt: skip

_CHECK_FAILED = "makedumpfile parameter check failed."
_INVALID = (
    f"Commandline parameter is invalid.\nTry `makedumpfile --help' for more information.\n{_CHECK_FAILED}"
)


class Compression(StrEnum):
    """How makedumpfile compresses pages."""

    ZLIB = "-c"
    LZO = "-l"
    SNAPPY = "-p"
    ZSTD = "-z"


@dataclass(frozen=True)
class Makedumpfile:
    """The usual one. Without a level it leaves no page out, without a compression it compresses none.

    ``levels`` are tried in order until a dump fits; ``others`` are written as they print.
    """

    levels: tuple[int, ...] = ()
    compression: Compression | None = None
    elf: bool = False
    flatten: bool = False
    num_threads: int | None = None
    message_level: int | None = None
    others: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """As it is called with."""
        return (
            *(["-F"] if self.flatten else []),
            *([str(self.compression)] if self.compression else []),
            *(["-E"] if self.elf else []),
            *([f"--num-threads {self.num_threads}"] if self.num_threads is not None else []),
            *([f"--message-level {self.message_level}"] if self.message_level is not None else []),
            *([f"-d {','.join(map(str, self.levels))}"] if self.levels else []),
            *self.others,
        )

    def __str__(self) -> str:
        return " ".join((_NAME, *self.options))


@dataclass(frozen=True)
class Command:
    """Any other program. cp and scp get a source and a file; on ssh and raw a program prints the dump."""

    program: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.program, *self.arguments))


Collector: TypeAlias = Makedumpfile | Command


def parse_collector(line: Line, *, piped: bool) -> Collector:
    """What a ``core_collector`` line says, where the target is written to through a pipe or is not."""
    program, *arguments = line.words
    # By this name only: a makedumpfile with a path is not checked by mkdumprd either.
    if program.text != _NAME:
        return Command(program.text, tuple(word.text for word in arguments))
    # mkdumprd looks for the two characters first, wherever they stand.
    if piped and "-F" not in line.value:
        says = 'The specified dump target needs makedumpfile "-F" option.'
        line.refuse("makedumpfile needs -F for ssh and raw", says, program.at)
    given = []
    for option in _given(line, arguments):
        _check_number(line, option)
        given.append(option)
    _check_together(line, given)
    _check_flat(line, given, piped=piped)
    return _makedumpfile(given)


@dataclass(frozen=True)
class _Given:
    """An option as makedumpfile takes it, its value, and the word that it stands in."""

    name: str
    value: str | None
    word: Word

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name} {self.value}"


def _given(line: Line, words: list[Word]) -> Iterator[_Given]:
    """As getopt_long() reads them: flags may stand together, a long name may be short of its end."""
    rest = iter(words)
    for word in rest:
        if word.text.startswith("--") and word.text != "--":
            yield _long(line, word, rest)
        elif word.text.startswith("-") and word.text not in {"-", "--"}:
            yield from _short(line, word, rest)
        else:
            line.refuse("only options may follow makedumpfile: kdump adds the files", _INVALID, word.at)


def _long(line: Line, word: Word, rest: Iterator[Word]) -> _Given:
    start, equals, value = word.text[2:].partition("=")
    names = [start] if start in _LONG else [name for name in _LONG if name.startswith(start)]
    if len(names) != 1:
        what = f"--{start} may be {' or '.join(names)}" if names else f"makedumpfile has no option --{start}"
        line.refuse(what, _INVALID, word.at)
    if not _LONG[names[0]]:
        if equals:
            line.refuse(f"--{names[0]} takes no value", _INVALID, word.at)
        return _Given(f"--{names[0]}", None, word)
    return _Given(f"--{names[0]}", value or _next(line, word, rest, equals), word)


def _short(line: Line, word: Word, rest: Iterator[Word]) -> Iterator[_Given]:
    for at, letter in enumerate(word.text[1:], 1):
        if letter in _WITH_VALUE:
            yield _Given(f"-{letter}", word.text[at + 1 :] or _next(line, word, rest), word)
            return
        if letter not in _FLAGS:
            line.refuse(f"makedumpfile has no option -{letter}", _INVALID, word.at + at)
        yield _Given(f"-{letter}", None, word)


def _next(line: Line, word: Word, rest: Iterator[Word], equals: str = "") -> str:
    following = None if equals else next(rest, None)
    if following is None:
        # Without one, makedumpfile takes the name of the dump that mkdumprd adds, and misses it then.
        says = "nothing; makedumpfile takes it for empty" if equals else _INVALID
        line.refuse(f"{word.text} needs a value", says, word.at)
    return following.text


def _check_together(line: Line, given: list[_Given]) -> None:
    """What must not be, or not with another, in makedumpfile's order."""
    words = {option.name: option.word for option in given}
    compressions = [option.name for option in given if option.name in set(Compression)]

    def refuse(name: str, what: str, says: str = _INVALID) -> NoReturn:
        line.refuse(what, says, words[name].at)

    for name in ("-g", "-R", "--reassemble"):
        if name in words:
            others = {"-d", "-E", "-F", "-i", "-X", "-x", "--split", *Compression} & words.keys()
            taken = name == "--reassemble" and not others
            says = "nothing; it takes the two files for others" if taken else _INVALID
            refuse(name, f"with {name} makedumpfile reads no memory", says)
    if "-E" in words and compressions:
        refuse("-E", f"-E and {compressions[-1]} exclude each other: an ELF dump is not compressed")
    for source in {"-i", "--xen-vmcoreinfo"} & words.keys():
        for symbols in {"-x", "--xen-syms"} & words.keys():
            refuse(symbols, f"{source} and {symbols} exclude each other")
    if "--dry-run" in words and "--dump-dmesg" in words:
        says = f"--dry-run cannot be used with --dump-dmesg.\n{_INVALID}"
        refuse("--dry-run", "--dry-run and --dump-dmesg exclude each other", says)
    if "--config" in words and "-x" not in words:
        refuse("--config", "--config needs -x")
    if "--diskset" in words and "-F" not in words:
        refuse("--diskset", "--diskset takes the memory from disks, and kdump names /proc/vmcore")
    if "--split" in words:
        refuse("--split", "--split writes several files, and kdump names one")
    if "-E" in words and any(option.name == "--num-threads" and int(option.value or 0) for option in given):
        says = f"--num-threads cannot used with ELF format.\n{_INVALID}"
        refuse("--num-threads", "--num-threads and -E exclude each other", says)
    if "--partial-dmesg" in words and "--dump-dmesg" not in words:
        refuse("--partial-dmesg", "--partial-dmesg needs --dump-dmesg")
    if "-e" in words and "--work-dir" not in words:
        refuse("-e", "-e needs --work-dir", f"-e requires --work-dir\n{_INVALID}")


def _check_flat(line: Line, given: list[_Given], *, piped: bool) -> None:
    word = next((option.word for option in given if option.name == "-F"), None)
    if piped and word is None:
        line.refuse("makedumpfile needs -F for ssh and raw", _INVALID, line.at)
    if word and not piped:
        what = "-F is for ssh and raw: here makedumpfile writes the file itself"
        line.refuse(what, _INVALID, word.at)
    if word and word.text != "-F":
        # kdump.sh of the capture kernel cuts the two characters out of the text, and adds them again.
        says = "nothing; the capture kernel's script cuts the two characters out of the word"
        line.refuse("-F stands by itself", says, word.at)


def _makedumpfile(given: list[_Given]) -> Makedumpfile:
    # Of several, the last counts.
    last = {option.name: option.value or "" for option in given}
    compressions = [Compression(option.name) for option in given if option.name in set(Compression)]
    known = {"-F", "-E", "-d", "--num-threads", "--message-level", *Compression}
    return Makedumpfile(
        levels=tuple(map(int, last["-d"].split(","))) if "-d" in last else (),
        compression=compressions[-1] if compressions else None,
        elf="-E" in last,
        flatten="-F" in last,
        num_threads=int(last["--num-threads"]) if "--num-threads" in last else None,
        message_level=int(last["--message-level"]) if "--message-level" in last else None,
        others=tuple(str(option) for option in given if option.name not in known),
    )


def _check_number(line: Line, option: _Given) -> None:
    """A level, how many threads, or a size; makedumpfile looks at each as it reads it."""
    if option.name == "-L":
        _check_size(line, option)
    called = {"-d": "Dump_level", "--message-level": "Message_level", "--num-threads": ""}.get(option.name)
    if called is None or option.value is None:
        return
    parts = option.value.split(",") if option.name == "-d" else [option.value]
    if len(parts) > _MOST_LEVELS:
        says = f"Dump_level is invalid.\n{_CHECK_FAILED}"
        line.refuse(f"at most {_MOST_LEVELS} levels", says, option.word.at)
    for part in parts:
        number = _atoi(part)
        if called and not 0 <= number <= MAX_LEVEL:
            says = f"{called}({number}) is invalid.\n{_CHECK_FAILED}"
            line.refuse(f"{option.name} goes from 0 to {MAX_LEVEL}", says, option.word.at)
        if re.fullmatch("[0-9]{1,9}", part) is None:
            taken = f"takes it for {max(number, 0)}" if part else "passes it over"
            line.refuse(f"{option.name} takes a number", f"nothing; makedumpfile {taken}", option.word.at)


def _check_size(line: Line, option: _Given) -> None:
    """As memparse() of makedumpfile reads one: decimal, octal or hexadecimal, with a unit or without."""
    found = re.fullmatch("([1-9][0-9]*|0[xX][0-9a-fA-F]+|0[0-7]*)[KkMmGgTtPpEe]?", option.value or "")
    if found is None or not int(found[1], 16):
        says = f"Limit size({option.value}) is invalid.\n{_CHECK_FAILED}"
        line.refuse("-L takes a size that is more than nothing, as 512M", says, option.word.at)


def _atoi(text: str) -> int:
    found = re.match("[+-]?[0-9]{1,18}", text)
    return int(found[0]) if found else 0
