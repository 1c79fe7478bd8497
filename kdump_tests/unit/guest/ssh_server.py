"""An SSH server as small as a test needs it: it runs commands here, or misbehaves as it is told to."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.shell import Login

Handler = Callable[[str, paramiko.Channel], None]
_LONGEST_SECONDS = 60.0


def execute(command: str, channel: paramiko.Channel) -> None:
    """Run a command as sshd does: by a shell."""
    done = subprocess.run(command, shell=True, capture_output=True, check=False)  # noqa: S602
    channel.sendall(done.stdout)
    channel.sendall_stderr(done.stderr)
    channel.send_exit_status(done.returncode)
    channel.close()


def hang(_command: str, _channel: paramiko.Channel) -> None:
    """Take the command and never answer, as a machine does that panics."""


def ignore(_command: str, _channel: paramiko.Channel) -> None:
    """Not even say that the command is taken, as a machine does not that goes down just then."""


def die(_command: str, channel: paramiko.Channel) -> None:
    """End the connection amid the command."""
    channel.sendall(b"half an ans")
    channel.get_transport().close()


def flood(_command: str, channel: paramiko.Channel) -> None:
    """Print until nobody reads any more."""
    with suppress(OSError, EOFError):
        while True:
            channel.sendall(b"x" * 32768)


def trickle(_command: str, channel: paramiko.Channel) -> None:
    """Print a little now and then, for a second and a half."""
    with suppress(OSError, EOFError):
        for _ in range(75):
            channel.sendall(b"x")
            time.sleep(0.02)
        channel.send_exit_status(0)
        channel.close()


class _Transport(paramiko.Transport):
    """Runs a command once its client was told that it is taken, as sshd does."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__(peer)
        self.taken: list[Callable[[], None]] = []
        self.closing = threading.Event()

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        while self.taken:
            threading.Thread(target=self.taken.pop(), daemon=True).start()


class _Session(paramiko.ServerInterface):
    def __init__(self, key: KeyPair, handler: Handler, transport: _Transport) -> None:
        self._key = key
        self._handler = handler
        self._transport = transport

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "root" and f"{key.get_name()} {key.get_base64()}" == self._key.public
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self._handler is ignore:
            self._transport.closing.wait(_LONGEST_SECONDS)  # in the connection's own thread
        self._transport.taken.append(partial(self._handler, command.decode(), channel))
        return True


class Sshd:
    """The server: who may enter, by which key it is known, and what it does with a command."""

    def __init__(self, handler: Handler) -> None:
        self.login_key = KeyPair.generate()
        self.host_key = KeyPair.generate()
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[_Transport] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def login(self) -> Login:
        """How it is entered by who knows it."""
        return Login("127.0.0.1", self._listener.getsockname()[1], self.login_key, self.host_key)

    def close(self) -> None:
        """End all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for transport in self._transports:
            transport.closing.set()
            transport.close()
            transport.join()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:  # closed
                return
            transport = _Transport(peer)
            transport.add_server_key(self.host_key.load())
            self._transports.append(transport)
            transport.start_server(threading.Event(), _Session(self.login_key, self._handler, transport))


@contextmanager
def sshd(handler: Handler = execute) -> Iterator[Sshd]:
    """A server that lives meanwhile."""
    server = Sshd(handler)
    try:
        yield server
    finally:
        server.close()
