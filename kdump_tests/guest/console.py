"""What a guest prints on its serial console: recorded whole from the first byte, and followed live."""

import os
import re
import select
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import Pattern

import inotify_simple

from kdump_tests.deadline import Deadline

# A guest is hostile: what it prints must not fill our memory or the disk.
_LONGEST_LINE = 8192
_MOST_LINES = 200_000
_LARGEST_RECORD = 256 * 1024 * 1024
_CHUNK = 1 << 16

# ECMA-48 sequences, also the malformed ones that systemd's colours turn into when lines are interleaved.
_ESCAPES = re.compile(r"\x1b(?:\[[0-9:;<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Prompts wait for an answer and never get their end of line. No more than these: a pattern that also fits
# the middle of a line would cut it wherever a chunk happens to end.
_PROMPT = re.compile(rb"(?:\blogin: |\(initramfs\) )$")


@dataclass(frozen=True)
class Line:
    """One line of the console: without its end and without colours.

    ``at`` is time.monotonic() of its arrival; ``number`` its place in the record, from 1.
    """

    number: int
    at: float
    text: str


class Console:
    """The console of one guest, read from the file that QEMU writes it to.

    A file and not a socket: QEMU never waits for its reader. With a socket whose buffer is full it drops
    characters (serial_xmit() in hw/char/serial.c), and a kernel prints its first 25 KB in one burst.
    A thread follows the file as inotify tells of it; whoever waits for a line is woken by it, or by the
    guest's end.
    """

    def __init__(self, record: Path) -> None:
        self.record = record
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._closed = False
        record.touch(mode=0o600)
        self._ended = os.eventfd(0, os.EFD_NONBLOCK)
        # A daemon, so that nothing waits for it should a guest's end never be told.
        self._thread = threading.Thread(target=self._pump, name=f"console {record.parent.name}", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether no line will come any more: the machine is gone, or has printed beyond all measure."""
        return self._closed

    @property
    def end(self) -> int:
        """The index of the next line to come, a place to follow from."""
        with self._changed:
            return len(self._lines)

    def follow(self, start: int, until: Deadline) -> Iterator[Line]:
        """Every line from index ``start`` on, each as soon as it is there.

        Ends when the guest does.

        Raises:
            DeadlineExpired: no further line came in time.
        """
        index = start
        while True:
            with self._changed:
                while len(self._lines) <= index and not self._closed and not until.expired:
                    self._changed.wait(until.left)
                fresh = self._lines[index:]
                if not fresh and self._closed:
                    return
            if not fresh:
                raise until.error()
            for line in fresh:
                index += 1
                yield line
            if until.expired:
                raise until.error()

    def expect(self, patterns: Pattern[str], start: int, until: Deadline) -> Line | None:
        """The first line from ``start`` on in which the pattern is found; None when the guest ended first.

        Raises:
            DeadlineExpired: no such line came in time.
        """
        return next((line for line in self.follow(start, until) if patterns.search(line.text)), None)

    def index_of(self, line: Line) -> int:
        """The index of a line that was read here."""
        with self._changed:
            return self._lines.index(line)

    def lines(self) -> tuple[Line, ...]:
        """All that are there."""
        with self._changed:
            return tuple(self._lines)

    def tail(self, lines: int = 20) -> str:
        """The last lines."""
        with self._changed:
            return "\n".join(line.text for line in self._lines[-lines:])

    def machine_ended(self) -> None:
        """Be told that no more will come: what was still printed is read, then whoever waits is woken."""
        with self._changed:
            if not self._closed:
                os.eventfd_write(self._ended, 1)

    def close(self) -> None:
        """Stop following; the record stays."""
        self.machine_ended()
        self._thread.join(timeout=5)

    def _pump(self) -> None:
        splitter = _Splitter()
        with self.record.open("rb", buffering=0) as record, inotify_simple.INotify() as changes:
            changes.add_watch(self.record, inotify_simple.flags.MODIFY)
            machine_runs = True
            while True:
                # Before waiting: what was printed before anybody watched changes nothing any more.
                while record.tell() < _LARGEST_RECORD and (chunk := record.read(_CHUNK)):
                    self._append(splitter.feed(chunk))
                if not machine_runs or record.tell() >= _LARGEST_RECORD:
                    break
                ready, _, _ = select.select([changes, self._ended], [], [])
                machine_runs = self._ended not in ready
                changes.read(timeout=0)
        self._append(splitter.rest())
        with self._changed:
            self._closed = True
            os.close(self._ended)
            self._changed.notify_all()

    def _append(self, lines: list[Line]) -> None:
        with self._changed:
            if lines and len(self._lines) < _MOST_LINES:
                self._lines.extend(lines)
            self._changed.notify_all()


class _Splitter:
    """Bytes to lines. A bare carriage return ends one too: progress is drawn with it."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 1

    def feed(self, chunk: bytes) -> list[Line]:
        waiting = self._rest + chunk
        told = waiting.rstrip(b"\r")  # whether a newline follows these, the next chunk tells
        *whole, rest = re.split(rb"(\r*\n|\r+)", told)
        self._rest = rest + waiting[len(told) :]
        now = time.monotonic()
        lines = []
        for text, ending in zip(whole[::2], whole[1::2], strict=True):
            lines.append(Line(self._number, now, _clean(text)))
            self._number += b"\n" in ending
        if len(self._rest) > _LONGEST_LINE or _PROMPT.search(self._rest):
            lines.append(Line(self._number, now, _clean(self._rest)))
            self._rest = b""
        return lines

    def rest(self) -> list[Line]:
        return [Line(self._number, time.monotonic(), _clean(self._rest))] if self._rest else []


def _clean(raw: bytes) -> str:
    text = _ESCAPES.sub("", raw[:_LONGEST_LINE].decode(errors="replace"))
    return "".join(char for char in text if char.isprintable() or char == "\t")
