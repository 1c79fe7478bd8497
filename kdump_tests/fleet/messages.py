"""The process's end of its message pipe: how it is found, and how a line gets through in one piece."""

import os
import threading
from typing import Self

# The environment variable with the number of the pipe's file descriptor.
MESSAGES = "KDUMP_VERIFY_MESSAGES"
# Bytes of a line. Long enough for any report of a test; its reader must keep it whole.
LONGEST = 4 << 20
# The end of a line that was cut off; readers drop the line. (ASCII's CANCEL, meant for just this.)
CANCEL = "\x18"


class Messages:
    """Lines of text to who started this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._one_at_a_time = threading.Lock()
        self._torn = False

    @classmethod
    def from_environment(cls) -> Self | None:
        """The pipe that this process was given, if any; its own children do not get it."""
        number = os.environ.pop(MESSAGES, None)
        if number is None:
            return None
        os.set_inheritable(int(number), False)
        return cls(int(number))

    def send(self, text: str) -> None:
        """Write one line, whole, whatever other threads write. Waits for the reader if it is slow.

        Raises:
            OSError: the reader is gone.
        """
        line = f"{text}\n".encode(errors="replace")
        assert line.count(b"\n") == 1, "a message is one line"
        assert len(line) <= LONGEST, "a message has a length that its reader takes"
        with self._one_at_a_time:
            # The handler of a signal may have raised out of the last one, anywhere.
            rest = memoryview(f"{CANCEL}\n".encode() + line if self._torn else line)
            self._torn = True
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._torn = False
