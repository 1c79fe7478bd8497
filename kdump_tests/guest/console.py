"""What a guest prints on its serial console: recorded whole from the first byte, and followed live."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from re import Pattern

from kdump_tests.deadline import Deadline

# A guest is hostile: what it prints must not fill our memory or the disk.
_LONGEST_LINE = 8192
_MOST_LINES = 200_000
_LARGEST_RECORD = 256 * 1024 * 1024

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
    """The console of one guest.

    QEMU connects to our socket as it starts, so nothing is missed. A thread writes every byte to the
    record and every line to memory; whoever waits for a line is woken by it, or by the guest's end.
    """

    def __init__(self, socket_path: Path, record: Path) -> None:
        self.record = record
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen(1)
        # It is the thread that ends with QEMU; a daemon, so that nothing waits for a QEMU that hangs.
        self._thread = threading.Thread(target=self._pump, name=f"console {record.parent.name}", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the machine is gone: QEMU has closed its end."""
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

    def tail(self, lines: int = 20) -> str:
        """The last lines."""
        with self._changed:
            return "\n".join(line.text for line in self._lines[-lines:])

    def close(self) -> None:
        """Stop listening; the record stays. What the guest still had to say is written first."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() does not
        self._listener.close()
        self._thread.join(timeout=5)

    def _pump(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # closed before QEMU came
            self._finish()
            return
        splitter = _Splitter()
        written = 0
        with peer, self.record.open("ab", buffering=0) as record:
            while chunk := _receive(peer):
                if written < _LARGEST_RECORD:
                    record.write(chunk)
                    written += len(chunk)
                self._append(splitter.feed(chunk))
        self._append(splitter.rest())
        self._finish()

    def _append(self, lines: list[Line]) -> None:
        with self._changed:
            if lines and len(self._lines) < _MOST_LINES:
                self._lines.extend(lines)
            self._changed.notify_all()

    def _finish(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Splitter:
    """Bytes to lines. A bare carriage return ends one too: progress is drawn with it."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 1

    def feed(self, chunk: bytes) -> list[Line]:
        *whole, self._rest = re.split(rb"(\r*\n|\r+(?!\r*\n|$))", self._rest + chunk)
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


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except ConnectionResetError:  # QEMU was killed
        return b""
