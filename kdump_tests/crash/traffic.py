"""Traffic on a machine's network while it crashes: packets are on their way in both directions."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from kdump_tests.deadline import Deadline
from kdump_tests.errors import DeadlineExpired, GuestLost, LabError
from kdump_tests.guest.shell import Shell

_PIECE = bytes(1 << 15)
# So much has come back before the traffic counts as such: twice what SSH's windows hold (paramiko 5.1).
_FLOWING = 4 << 20
# Longer than any crash is followed; the end of the connection ends it.
_LONGEST_SECONDS = 7200.0
_END_SECONDS = 10.0


@contextmanager
def traffic(shell: Shell, until: Deadline) -> Iterator[None]:
    """Have the machine send back what it is sent, without a pause, from when that flows to the end.

    Between this host and the machine alone, over a connection of its own, so that nobody else's network is
    loaded. That the machine dies of something meanwhile is no error here.

    Raises:
        GuestNotReached: there is no such connection.
        LabError: hardly anything flows.
    """
    own = shell.another()
    own.connect(until, lambda: None)
    echo = _Echo(own)
    echo.start()
    try:
        if not echo.settled.wait(until.left) or echo.came < _FLOWING:
            raise LabError("the machine's network does not get busy", waited_for=until.what, came=echo.came)
        yield
    finally:
        own.close()  # what ends both threads
        echo.join(_END_SECONDS)


class _Echo(threading.Thread):
    """Takes what comes back; another thread sends."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(name="traffic", daemon=True)
        self.settled = threading.Event()  # it flows, or never will
        self.came = 0
        self._shell = shell

    def run(self) -> None:
        until = Deadline.after(_LONGEST_SECONDS, "the traffic ends")
        with suppress(GuestLost, DeadlineExpired), self._shell.running("cat", until=until) as process:
            threading.Thread(target=_send, args=(process.channel,), name="traffic out", daemon=True).start()
            while piece := process.receive(process.channel.recv, until):
                self.came += len(piece)
                if self.came >= _FLOWING:
                    self.settled.set()
        self.settled.set()


def _send(channel: paramiko.Channel) -> None:
    with suppress(OSError, EOFError, paramiko.SSHException):
        while True:
            channel.sendall(_PIECE)
