"""A dump server and its guest are brought together in order, whatever the protocol."""

from dataclasses import replace
from typing import Any

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError, NotArmed
from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.shell import Output
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.dump_server import LINK, serve, spec_for
from kdump_tests.stacks.el import El
from kdump_tests.stacks.stack import Stack

SSH = {"SSH": "kdump@dump-server", "KDUMP_COREDIR": "/srv/dumps"}
FTP = {"FTP": "dump-server:/srv/dumps", "FTP_USER": "kdump", "FTP_PASSWORD": "a b"}
NFS = {"NFS": "dump-server:/srv/dumps", "HOSTTAG": "hostname"}
HOST_KEY = KeyPair("ssh-ed25519 AAAA", "private")


class Machine:
    """A guest that notes what it is told, by the word after the script; it has an address at once."""

    def __init__(self, told: list[tuple[str, ...]], name: str, *, address: str = "192.0.2.7") -> None:
        self.name, self.spec, self.shell = name, GuestSpec("debian-12", GIB, None, links=(LINK,)), self
        self._told, self._address = told, address

    def deadline(self, _seconds: float, what: str) -> Deadline:
        return Deadline.after(0.3, what)

    def command_deadline(self) -> Deadline:
        return self.deadline(1, "a command ends")

    def read(self, *_paths: str) -> str:
        return "my-host\n"

    def run(self, *argv: str, until: Deadline) -> str:
        words = argv[3:] if argv[:2] == ("sh", "-c") else argv
        self._told.append((self.name, *words))
        match words[:1]:
            case ("addresses",):
                return f"3: ens17    inet {self._address}/24 scope global" if self._address else ""
            case ("trust",):
                return "ssh-ed25519 ADMIN\n"
        return ""

    def attempt(self, *argv: str, until: Deadline) -> Output:
        self._told.append((self.name, *argv))
        return Output(" ".join(argv), 0, "", "")


def pair(stack: Stack) -> tuple[list[tuple[str, ...]], Any]:
    told: list[tuple[str, ...]] = []
    server: Any = Machine(told, "server")
    client: Any = Machine(told, "client")
    return told, serve(server, client, stack, HOST_KEY, 3)


def test_key_is_propagated_by_one_who_may_and_who_is_forgotten_before_the_first_login() -> None:
    told, served = pair(Debian().configured(SSH))
    assert [(machine, *words[:1]) for machine, *words in told] == [
        ("server", "folder"), ("client", "join"), ("client", "addresses"), ("client", "trust"),
        ("server", "admit"), ("client", "kdump-config"), ("client",), ("client", "ssh"),
    ]  # fmt: skip
    assert ("client", "trust", "dump-server ssh-ed25519 AAAA", "/root/.ssh/kdump_id_rsa") in told
    assert ("server", "admit", "kdump", "ssh-ed25519 ADMIN") in told
    assert served.sender == "192.0.2.7"


def test_nothing_private_is_passed_along() -> None:
    told, _ = pair(Debian().configured(SSH))
    assert not any(HOST_KEY.private in word for _, *words in told for word in words)


def test_an_export_is_of_the_version_asked_for_and_needs_no_key() -> None:
    told, served = pair(Debian().configured(NFS))
    assert ("server", "export", "/srv/dumps", "y", "n") in told
    assert ("client", "trust") not in {words[:2] for words in told}
    assert served.sender == "my-host"


def test_an_export_may_lie_above_the_folder_that_is_made() -> None:
    told, _ = pair(El().configured({"nfs": "dump-server:/srv", "path": "/dumps"}))
    assert ("server", "folder", "root", "/srv/dumps") in told
    assert ("server", "export", "/srv", "y", "n") in told


def test_uploads_have_a_password() -> None:
    told, _ = pair(Debian().configured(FTP))
    assert ("server", "uploads", "kdump", "a b") in told


def test_a_guest_that_gets_no_address_is_the_laboratorys_fault() -> None:
    told: list[tuple[str, ...]] = []
    client: Any = Machine(told, "client", address="")
    server: Any = Machine(told, "server")
    with pytest.raises(LabError, match="client has no address"):
        serve(server, client, Debian().configured(SSH), HOST_KEY, 4)


def test_a_key_that_cannot_be_propagated_is_the_products_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Output("kdump-config propagate", 1, "failed to be sent", "")
    monkeypatch.setattr(Machine, "attempt", lambda *_argv, **_until: refused)
    with pytest.raises(NotArmed, match="could not propagate its key to kdump@dump-server:/srv/dumps"):
        pair(Debian().configured(SSH))


def test_every_guest_has_a_dump_server_of_its_own_and_all_are_the_same_machine() -> None:
    one, other = GuestSpec("debian-12", GIB, None), GuestSpec("debian-13", GIB, None, purpose="hung-task")
    assert spec_for(one).name == "debian-12-512M-for-debian-12-1G"
    assert spec_for(other).name == "debian-12-512M-for-debian-13-1G-hung-task"
    assert replace(spec_for(one), purpose="") == replace(spec_for(other), purpose="")
