"""libvirt is asked with a deadline, and its errors become ours."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, HypervisorError
from kdump_tests.guest import hypervisor as hypervisors
from kdump_tests.guest.hypervisor import Domain, Hypervisor, call, connected

STORY = """<domain type="test"><name>{}</name><memory>262144</memory><os><type>hvm</type></os></domain>"""


def soon() -> Deadline:
    return Deadline.after(10, "libvirt answers")


def nobody_cares() -> None:
    """The machine's end matters to nobody."""


def unplug(hypervisor: Hypervisor, name: str) -> None:
    """Somebody else ends a domain."""
    hypervisor._handle.lookupByName(name).destroy()


def test_a_frozen_machine_is_gone_and_goes_on_where_it_was(hypervisor: Hypervisor, tmp_path: Path) -> None:
    ended = threading.Event()
    xml = STORY.format("frozen")
    hypervisor.start(xml, soon(), ended.set).save(tmp_path / "memory", soon())
    assert ended.is_set()
    assert not hypervisor.has("frozen", soon())
    ended.clear()
    hypervisor.restore(tmp_path / "memory", xml, "frozen", soon(), ended.set)
    assert hypervisor.has("frozen", soon())
    unplug(hypervisor, "frozen")
    assert ended.wait(10)


class Obliging:
    """A connection to libvirt's driver for tests. It can neither start paused nor change a saved domain."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def createXML(self, xml: str, flags: int) -> Any:
        assert flags == libvirt.VIR_DOMAIN_START_PAUSED
        domain = self._connection.createXML(xml, 0)
        domain.suspend()
        return domain

    def restoreFlags(self, memory: str, _xml: str, flags: int) -> None:
        assert flags == libvirt.VIR_DOMAIN_SAVE_PAUSED
        before = {domain.name() for domain in self._connection.listAllDomains()}
        self._connection.restore(memory)
        (restored,) = (d for d in self._connection.listAllDomains() if d.name() not in before)
        restored.suspend()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def hypervisor(tmp_path: Path) -> Iterator[Hypervisor]:
    """Libvirt's driver for tests, which starts nothing."""
    with connected("test:///default", tmp_path, tmp_path) as hypervisor:
        yield Hypervisor("test:///default", Obliging(hypervisor._handle))


@pytest.fixture
def mute_daemon(tmp_path: Path) -> Iterator[str]:
    """The URI of a daemon that accepts and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute"))
        listener.listen(1)
        yield f"qemu+unix:///system?socket={tmp_path}/mute"


def open_and_close(uri: str, folder: Path) -> None:
    with connected(uri, folder, folder):
        pass


def test_domain_is_started_and_destroyed(hypervisor: Hypervisor) -> None:
    domain = hypervisor.start(STORY.format("story"), soon(), nobody_cares)
    assert (domain.name, domain.is_active(soon())) == ("story", True)
    assert "<name>story</name>" in domain.xml(soon())
    domain.destroy(soon())
    assert not domain.is_active(soon())


def test_end_of_a_machine_is_told(hypervisor: Hypervisor) -> None:
    ended = threading.Event()
    hypervisor.start(STORY.format("mortal"), soon(), ended.set)
    assert not ended.is_set()
    unplug(hypervisor, "mortal")
    assert ended.wait(10)


def test_whoever_pulls_the_plug_is_told_at_once(hypervisor: Hypervisor) -> None:
    ended = threading.Event()
    hypervisor.start(STORY.format("mortal"), soon(), ended.set).destroy(soon())
    assert ended.is_set()


def test_end_of_another_machine_is_not_taken_for_ours(hypervisor: Hypervisor) -> None:
    ours, theirs = threading.Event(), threading.Event()
    hypervisor.start(STORY.format("ours"), soon(), ours.set)
    hypervisor.start(STORY.format("theirs"), soon(), theirs.set)
    unplug(hypervisor, "theirs")
    assert theirs.wait(10)
    assert not ours.is_set()


def test_domain_that_is_gone_already_can_be_destroyed(hypervisor: Hypervisor) -> None:
    domain = hypervisor.start(STORY.format("gone"), soon(), nobody_cares)
    domain.destroy(soon())
    domain.destroy(soon())


def test_active_domains_are_listed_with_their_xml(hypervisor: Hypervisor) -> None:
    hypervisor.start(STORY.format("listed"), soon(), nobody_cares)
    found = {domain.name: xml for domain, xml in hypervisor.domains(soon())}
    assert "<name>listed</name>" in found["listed"]


def test_what_libvirt_refuses_comes_with_its_words(hypervisor: Hypervisor) -> None:
    with pytest.raises(HypervisorError, match=r"libvirt: .*domain"):
        hypervisor.start("<banana/>", soon(), nobody_cares)


def test_versions_are_told(hypervisor: Hypervisor) -> None:
    versions = hypervisor.versions(soon())
    assert versions["libvirt"] == hypervisors.library_version()
    assert versions["libvirt"].count(".") == 2


class Stubborn:
    """A domain that stays, whatever libvirt is told."""

    def destroy(self) -> None:
        raise libvirt.libvirtError("device or resource busy")

    def isActive(self) -> bool:
        return True


def test_domain_that_cannot_be_destroyed_is_an_error() -> None:
    with pytest.raises(HypervisorError):
        Domain("stubborn", Stubborn()).destroy(soon())


@pytest.mark.parametrize("uri", ["banana", "", "/var/run/libvirt", "qemu://[::1"])
def test_what_is_no_uri_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a libvirt URI"):
        open_and_close(uri, tmp_path)


@pytest.mark.parametrize(
    "uri", ["qemu+ssh://root@lab-3/system", "qemu://lab-3/system", "qemu+tcp://127.0.0.1/system"]
)
def test_another_host_is_refused_with_the_way_out(uri: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is on another host") as refusal:
        open_and_close(uri, tmp_path)
    assert refusal.value.facts["way out"].startswith("run the suite on ")


def test_driver_that_libvirt_does_not_know_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="no libvirt at banana:///system"):
        open_and_close("banana:///system", tmp_path)


def test_daemon_that_is_not_there_is_told_in_seconds_with_a_way_out(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(HypervisorError, match="no libvirt at ") as failure:
        open_and_close(f"qemu+unix:///system?socket={tmp_path}/nobody", tmp_path)
    assert time.monotonic() - begun < 5
    assert "start its daemon" in failure.value.facts["way out"]


def test_daemon_that_never_answers_is_given_up(
    mute_daemon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypervisors, "_CALL_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(DeadlineExpired, match="libvirt answers at qemu") as failure:
        open_and_close(mute_daemon, tmp_path)
    assert time.monotonic() - begun < 2
    assert failure.value.facts["reason"] == "libvirt does not answer"


def test_calls_result_is_returned() -> None:
    assert call(lambda: 42, soon()) == 42


def test_error_in_a_call_is_raised_where_it_was_asked() -> None:
    def ask() -> None:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        call(ask, soon())


def test_call_that_does_not_come_back_is_left_behind() -> None:
    forever = threading.Event()
    with pytest.raises(DeadlineExpired, match="not in time: libvirt answers"):
        call(forever.wait, Deadline.after(0.1, "libvirt answers"))
    forever.set()
