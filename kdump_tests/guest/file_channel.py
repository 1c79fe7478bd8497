"""The fast way for files out of a guest: a virtio-serial port of its own.

SSH encrypts, and encryption is what an emulated CPU is worst at: a dump of 21 MB takes 3.7 s through
SSH under TCG and 0.5 s through here. Commands still go through SSH; only content takes this way.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import GuestLost
from kdump_tests.guest.shell import Copy, Shell, make_room, require_whole, store

# systemd's 99-systemd rules and udev's 50-udev-default.rules make the link to the port's device.
PORT_NAME = "kdump-verify.files"
PORT = f"/dev/virtio-ports/{PORT_NAME}"
# Without the port, no file of that name shall come into being.
_SEND = 'test -c "$0" && exec cat -- "$@" > "$0"'
_PIECE = 1 << 20
# How often a silent port is left to see whether the sender has given up.
_GLANCE_SECONDS = 0.05


class FileChannel:
    """Our end of the port. QEMU connects to it as it starts."""

    def __init__(self, socket_path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen(1)
        self._peer: socket.socket | None = None

    def close(self) -> None:
        """Close both ends of ours."""
        self._listener.close()
        if self._peer:
            self._peer.close()

    def await_another(self) -> None:
        """Forget the QEMU that was; the next to connect is the guest's."""
        if self._peer is None:  # nothing was fetched, so the old one may still wait to be accepted
            self._listener.setblocking(False)
            with suppress(BlockingIOError):
                self._peer, _ = self._listener.accept()
        if self._peer:
            self._peer.close()
        self._peer = None

    def fetch(self, shell: Shell, copies: Sequence[Copy], until: Deadline) -> None:
        """Copy files from the guest, in pieces, into new files of mode 0600; one command for all.

        Raises:
            LabError: they could not be read or sent.
            GuestLost: QEMU has gone.
            DeadlineExpired: it took too long.
        """
        self._forget_rest()
        make_room(copies)
        with shell.running("sh", "-c", _SEND, PORT, *(copy.path for copy in copies), until=until) as process:

            def receive(want: int) -> bytes:
                while want and not process.failed:
                    if piece := self._receive(want, until):
                        return piece
                return b""

            got = store(copies, receive)
            status = process.status(until)
        require_whole(copies, got, status)

    def _forget_rest(self) -> None:
        """What an earlier sender left: the next byte must be the next file's first."""
        peer = self._connected()
        peer.setblocking(False)
        with suppress(BlockingIOError):
            while peer.recv(_PIECE):
                pass

    def _receive(self, want: int, until: Deadline) -> bytes:
        """At most ``want`` bytes, none when none came within a glance."""
        if until.expired:
            raise until.error()
        peer = self._connected()
        peer.settimeout(_GLANCE_SECONDS)
        try:
            piece = peer.recv(min(want, _PIECE))
        except TimeoutError:
            return b""
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise GuestLost("the guest ended while it sent a file")
        return piece

    def _connected(self) -> socket.socket:
        if self._peer is None:
            # QEMU connects before it runs the guest's first instruction.
            self._listener.settimeout(1)
            try:
                self._peer, _ = self._listener.accept()
            except TimeoutError:
                raise GuestLost("QEMU did not connect to the file channel") from None
        return self._peer
