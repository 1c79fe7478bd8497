"""A way out of a guest, for as long as packages are fetched: a SOCKS proxy at its own loopback (RFC 1928).

A guest is kept from every network. What it asks for through here is fetched by this host, over the SSH
connection that stands already; this host itself it cannot reach.
"""

import ipaddress
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Shell, after

_PORTS = (80, 443)
_PIECE = 1 << 16
_CONNECT_SECONDS = 30.0
_SILENCE_SECONDS = 120.0
_MOST_AT_ONCE = 32
_seats = threading.BoundedSemaphore(_MOST_AT_ONCE)
_VERSION, _CONNECT, _BY_NAME, _BY_IPV4, _BY_IPV6 = 5, 1, 3, 1, 4
_GRANTED, _REFUSED = 0, 2


@contextmanager
def door(shell: Shell, until: Deadline) -> Iterator[None]:
    """A proxy inside of the guest, which commands find in their environment; gone at the end.

    Raises:
        LabError: its SSH server forwards nothing.
    """
    transport = shell.transport()
    try:
        # Nor does paramiko wait with an end here (5.1).
        with after(until, transport.close):
            port = transport.request_port_forward("127.0.0.1", 0, _welcome)
    except paramiko.SSHException as error:
        raise LabError(
            "the guest has no way to its repositories",
            reason=f"its SSH server forwards no port ({error})",
            way_out="AllowTcpForwarding yes in its sshd_config, or an image that has kdump installed",
        ) from None
    try:
        url = f"socks5h://127.0.0.1:{port}"
        with shell.environment(http_proxy=url, https_proxy=url):
            yield
    finally:
        if until.left and transport.is_active():
            with suppress(paramiko.SSHException, OSError), after(until, transport.close):
                transport.cancel_port_forward("127.0.0.1", port)


def _welcome(channel: paramiko.Channel, _origin: object, _server: object) -> None:
    """A connection of the guest's. It may ask for more of them than anybody needs."""
    if _seats.acquire(blocking=False):
        threading.Thread(target=_seated, args=(channel,), name="door", daemon=True).start()
    else:
        channel.close()


def _seated(channel: paramiko.Channel) -> None:
    try:
        _serve(channel)
    finally:
        _seats.release()


def _serve(channel: paramiko.Channel) -> None:
    """One connection, to its end. What it asks for is a stranger's word."""
    channel.settimeout(_CONNECT_SECONDS)
    with suppress(OSError, EOFError, ValueError, paramiko.SSHException), channel:
        host, port = _asked(channel)
        try:
            outside = _connected(host, port)
        except (OSError, ValueError):
            channel.sendall(_answer(_REFUSED))
            return
        with outside:
            channel.sendall(_answer(_GRANTED))
            _relay(channel, outside)


def _asked(channel: paramiko.Channel) -> tuple[str, int]:
    version, methods = _exactly(channel, 2)
    _exactly(channel, methods)
    channel.sendall(bytes([_VERSION, 0]))  # no authentication: only the guest's own root is near
    version, command, _, kind = _exactly(channel, 4)
    if (version, command) != (_VERSION, _CONNECT):
        raise ValueError("not a request to connect")
    if kind == _BY_NAME:
        (length,) = _exactly(channel, 1)
        host = _exactly(channel, length).decode("ascii")
    else:
        host = str(ipaddress.ip_address(_exactly(channel, 16 if kind == _BY_IPV6 else 4)))
    (port,) = struct.unpack(">H", _exactly(channel, 2))
    return host, port


def allowed(address: str, port: int) -> bool:
    """Whether a guest may be connected: repositories speak HTTP, and none of them is this host."""
    found = ipaddress.ip_address(address)
    closed = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
    return port in _PORTS and not closed


def _connected(host: str, port: int) -> socket.socket:
    """A connection to the first address of a name that is allowed, which is not looked up again."""
    for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = str(place[0])
        if allowed(address, port) and not _is_ours(address):
            return socket.create_connection((address, port), timeout=_CONNECT_SECONDS)
    raise ValueError(f"{host}:{port} is no place for a guest")


def _is_ours(address: str) -> bool:
    """Whether it is an address of this host: nobody else can bind it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _relay(channel: paramiko.Channel, outside: socket.socket) -> None:
    ends: list[paramiko.Channel | socket.socket] = [channel, outside]
    while ready := select.select(ends, [], [], _SILENCE_SECONDS)[0]:
        for here, there in ((channel, outside), (outside, channel)):
            if here in ready:
                if not (piece := here.recv(_PIECE)):
                    return
                there.sendall(piece)


def _exactly(channel: paramiko.Channel, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = channel.recv(count - len(got))
        if not piece:
            raise EOFError
        got += piece
    return got


def _answer(code: int) -> bytes:
    return bytes([_VERSION, code, 0, _BY_IPV4]) + bytes(6)
