"""A guest's way to its repositories: to nowhere else."""

import io
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kdump_tests.guest import door


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::", "169.254.169.254", "224.0.0.1", "fe80::1"])
def test_this_host_and_its_link_are_closed(address: str) -> None:
    assert not door.allowed(address, 80)


@pytest.mark.parametrize(
    ("port", "open_"), [(80, True), (443, True), (22, False), (3128, False), (5900, False)]
)
def test_only_ports_of_repositories_are_open(port: int, open_: bool) -> None:
    assert door.allowed("151.101.2.132", port) is open_
    assert door.allowed("2001:67c:2564:a119::77", port) is open_


@pytest.fixture
def own_address() -> Iterator[str]:
    """An address of this host by which others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        yield probe.getsockname()[0]


def test_this_hosts_other_addresses_are_closed_too(own_address: str) -> None:
    with pytest.raises(ValueError, match="is no place for a guest"):
        door._connected(own_address, 80)


def test_name_that_leads_to_this_host_is_closed() -> None:
    with pytest.raises(ValueError, match="is no place for a guest"):
        door._connected("localhost", 80)


class Wire:
    """A guest's end of a connection, for what it said beforehand."""

    def __init__(self, said: bytes) -> None:
        self._said = io.BytesIO(said)
        self.got = b""

    def settimeout(self, _seconds: float) -> None: ...

    def recv(self, count: int) -> bytes:
        return self._said.read(count)

    def sendall(self, data: bytes) -> None:
        self.got += data

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None: ...


def asked(host: bytes, port: int) -> bytes:
    return b"\x05\x01\x00" + b"\x05\x01\x00\x03" + bytes([len(host)]) + host + port.to_bytes(2, "big")


@pytest.mark.parametrize(("host", "port"), [(b"localhost", 80), (b"127.0.0.1", 443), (b"192.0.2.1", 22)])
def test_what_a_guest_must_not_reach_is_refused_in_the_proxys_own_words(host: bytes, port: int) -> None:
    wire: Any = Wire(asked(host, port))
    door._serve(wire)
    assert wire.got == b"\x05\x00" + b"\x05\x02\x00\x01" + bytes(6)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x05",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x05\x01\x00\x05\x02\x00\x01" + bytes(6),
        b"\x05\x00\x05\x01\x00\x09",
    ],
)
def test_nonsense_ends_the_connection_and_nothing_else(said: bytes) -> None:
    wire: Any = Wire(said)
    door._serve(wire)
    assert b"\x05\x00\x00" not in wire.got  # granted


def test_connection_is_relayed_both_ways_until_one_end_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    guest, ours = socket.socketpair()
    outside, theirs = socket.socketpair()
    monkeypatch.setattr(door, "_connected", lambda _host, _port: outside)
    serving = threading.Thread(target=door._serve, args=(ours,))
    serving.start()
    guest.sendall(asked(b"deb.example.org", 80) + b"GET /")
    assert theirs.recv(100) == b"GET /"
    theirs.sendall(b"200 OK")
    theirs.close()
    got = b""
    while piece := guest.recv(100):
        got += piece
    assert got == b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6) + b"200 OK"
    serving.join(timeout=5)
    assert not serving.is_alive()
    guest.close()
