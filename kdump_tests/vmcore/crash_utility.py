"""crash(8) as the second judge: asked at its own prompt, as a person would ask it.

Its answers are text for people. What the verdict needs is read out of them; all of it is kept.
"""

import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect

from kdump_tests.deadline import Deadline
from kdump_tests.subprocesses import program
from kdump_tests.vmcore.analysis import CrashedTask
from kdump_tests.vmcore.debug_information import Vmlinux
from kdump_tests.vmcore.text import printable

CRASH = "crash"
COMMANDS = ("sys", "bt", "ps", "log", "files", "mod", "kmem -i")

# On a busy host crash 8.0.2 took 17 to 40 s in all, and up to 10 of them for `kmem -i`.
_START_SECONDS = 240.0
_ANSWER_SECONDS = 60.0
_LONGEST_ANSWER = 4 << 20  # characters; a log of the largest printk ring is as long
_LONGEST_EVALUATION = 500
_PROMPT = "crash> "
_ENDING = re.compile(r"\r+\n")
_REWRITTEN = re.compile(r"[^\n]*\r(?!\n)")  # crash draws its progress over the same line

_FIELD = re.compile(r"^ *([A-Z][A-Z ]*): (.*)$", re.MULTILINE)
# print_task_header() in task.c
_TASK = re.compile(r'^PID: (\d+) +TASK: [0-9a-f]+ +CPU: (\d+) +COMMAND: "(.*)"$', re.MULTILINE)
_PS = re.compile(r"^>? *(\d+) +-?\d+ +\d+ +[0-9a-f]{8,16} ", re.MULTILINE)
_FRAME = re.compile(r"^ *#\d+ \[[0-9a-f]+\] (\S+) at ", re.MULTILINE)
_MODULE = re.compile(r"^[0-9a-f]{8,16} +(\S+) ", re.MULTILINE)
_COMPLAINT = re.compile(r"^(?:WARNING: |crash: )", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What crash said to one command. ``cut_short`` is why that is not all; empty when it is."""

    command: str
    text: str
    seconds: float
    cut_short: str = ""


@dataclass(frozen=True)
class Session:
    """One session with crash. ``failure`` is why there are no answers, or no more; empty when all is well.

    ``greeting`` is what it said until its first prompt.
    """

    version: str
    greeting: str
    answers: tuple[Answer, ...]
    failure: str
    seconds: float

    def answer(self, command: str) -> str:
        """Its text, empty when there is none."""
        return next((answer.text for answer in self.answers if answer.command == command), "")

    @property
    def crashed(self) -> CrashedTask | None:
        """The task that panicked, by its `bt`."""
        match = _TASK.search(self.answer("bt"))
        return CrashedTask(int(match[1]), match[3], int(match[2])) if match else None

    @property
    def release(self) -> str | None:
        """By its `sys`."""
        return next((value for name, value in _FIELD.findall(self.answer("sys")) if name == "RELEASE"), None)

    @property
    def pids(self) -> frozenset[int]:
        """Of the tasks of its `ps`; crash counts one idle task, PID 0, for each CPU."""
        return frozenset(map(int, _PS.findall(self.answer("ps"))))

    @property
    def functions(self) -> tuple[str, ...]:
        """Of its `bt`, the innermost first."""
        return tuple(_FRAME.findall(self.answer("bt")))

    @property
    def modules(self) -> frozenset[str]:
        """Of its `mod`."""
        return frozenset(_MODULE.findall(self.answer("mod"))) - {"NAME"}

    @property
    def complaints(self) -> tuple[str, ...]:
        """Lines in which it warns of what it could not make sense of."""
        told = [self.greeting, *(answer.text for answer in self.answers if answer.command != "log")]
        return tuple(dict.fromkeys(line for line in "\n".join(told).splitlines() if _COMPLAINT.match(line)))

    @property
    def transcript(self) -> str:
        """All of it, as it would have stood on a screen."""
        parts = [self.greeting, *(f"{_PROMPT}{answer.command}\n{answer.text}" for answer in self.answers)]
        return "\n\n".join([*parts, *([self.failure] if self.failure else [])]) + "\n"


def ask(dump: Path, vmlinux: Vmlinux) -> Session:
    """Start crash with a dump and ask it every command.

    What crash could not do is in the result: whether that is its own fault is for others to say.

    Raises:
        ToolMissing: it is not installed.
    """
    tool = program(CRASH)
    begun = time.monotonic()
    # Its own folder: crash reads .crashrc of the present one, and writes there.
    with tempfile.TemporaryDirectory(prefix="kdump-verify-crash-") as folder:
        child = pexpect.spawn(
            tool,
            ["--no_scroll", "--no_crashrc", str(vmlinux.path.absolute()), str(dump.absolute())],
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder, "TERM": "dumb", "LC_ALL": "C.UTF-8"},
            encoding="utf-8",
            codec_errors="replace",
            timeout=None,
            maxread=1 << 16,
            searchwindowsize=200,
            dimensions=(50, 250),
        )
        try:
            conversation = _Conversation(child)
            greeting, failure = conversation.greeting(Deadline.after(_START_SECONDS, "starts"))
            answers: list[Answer] = []
            for command in COMMANDS if not failure else ():
                answer = conversation.ask(command, Deadline.after(_ANSWER_SECONDS, "answers"))
                answers.append(answer)
                if answer.cut_short:
                    failure = f"crash {answer.cut_short} before it had answered `{command}`"
                    break
        finally:
            child.close(force=True)
    version = re.search(r"^crash (\S+)", greeting, re.MULTILINE)
    return Session(
        version=f"crash {version[1]}" if version else "crash",
        greeting=greeting,
        answers=tuple(answers),
        failure=failure,
        seconds=time.monotonic() - begun,
    )


class _Conversation:
    """Where an answer ends, the dump must not be able to say: a log may hold the text of a prompt.

    So each command is followed by one whose answer no dump can know: a random number, asked for in
    hexadecimal and answered in decimal, which nobody typed.
    """

    def __init__(self, child: "pexpect.spawn[str]") -> None:
        self._child = child

    def greeting(self, until: Deadline) -> tuple[str, str]:
        """What comes before it answers, and why it does not."""
        text, ended = self._until_number(until)
        said = _screen(text)
        if not ended:
            return said, ""
        reason = next((line for line in reversed(said.splitlines()) if line.startswith("crash: ")), "")
        return said, f"crash {ended} before its first prompt{f': {reason[7:]}' if reason else ''}"

    def ask(self, command: str, until: Deadline) -> Answer:
        """One command's answer."""
        begun = time.monotonic()
        self._child.sendline(command)
        text, ended = self._until_number(until)
        said = _screen(text).removeprefix(_PROMPT).removeprefix(command).strip("\n")
        return Answer(command, said, time.monotonic() - begun, ended)

    def _until_number(self, until: Deadline) -> tuple[str, str]:
        """All until the number's question, and how it ended if it did not get to the answer."""
        number = secrets.randbits(61) | 1 << 60
        question = f"eval {number:#x}"
        # What comes between the number and the prompt is the same number to other bases.
        answered = re.compile(rf"\b{number}\b[^>]*{_PROMPT}$")
        self._child.sendline(question)
        text = ""
        try:
            for chunk in self._heard(until):
                text += chunk
                if answered.search(text, max(0, len(text) - _LONGEST_EVALUATION)):
                    return text[: text.rfind(f"hexadecimal: {number:x}")].replace(question, ""), ""
        except pexpect.TIMEOUT:
            return text.replace(question, ""), "was still at it"
        except pexpect.EOF:
            return text.replace(question, ""), "ended"
        return text, "said too much"

    def _heard(self, until: Deadline) -> Iterator[str]:
        """What comes, up to a length that nobody would read."""
        size = 0
        while size < _LONGEST_ANSWER:
            chunk = self._child.read_nonblocking(1 << 16, until.left)
            size += len(chunk)
            yield chunk


def _screen(text: str) -> str:
    """As it would stand on a screen when it has come to rest, prompts at its end taken off."""
    text = _REWRITTEN.sub("", _ENDING.sub("\n", text))
    lines = [printable(line.rstrip()) for line in text.split("\n")]
    return "\n".join(lines).strip("\n").removesuffix(_PROMPT.rstrip()).rstrip()
