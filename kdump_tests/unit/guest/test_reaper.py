"""A killed run's guests on a libvirt daemon end; those of living runs and of others go on."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from kdump_tests.guest import hypervisor
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import new_run

# Libvirt's driver for tests, which starts nothing: all its connections of one process see the same domains.
DAEMON = "test:///default"
STORY = """\
<domain type="test">
  <name>{name}</name>
  <metadata><run xmlns="{namespace}" id="{run}"/></metadata>
  <memory>262144</memory>
  <os><type>hvm</type></os>
</domain>
"""
OURS = "https://kdump-verify.invalid/run"


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for runs, with a path as short as it must be."""
    with tempfile.TemporaryDirectory(prefix="kv-", dir="/var/tmp") as folder:
        yield Path(folder)


class Daemon:
    """A libvirt daemon of which other tests may have made use, too."""

    def __init__(self) -> None:
        self._connection = libvirt.open(DAEMON)
        self._started: list[Any] = []

    def start(self, name: str, run: str, namespace: str = OURS) -> None:
        """Start a domain that names a run."""
        story = STORY.format(name=name, run=run, namespace=namespace)
        self._started.append(self._connection.createXML(story))

    def active(self) -> set[str]:
        """Those of the started domains that go on."""
        known = {domain.UUIDString() for domain in self._connection.listAllDomains()}
        return {domain.name() for domain in self._started if domain.UUIDString() in known}

    def close(self) -> None:
        """End them all."""
        for domain in self._started:
            with suppress(libvirt.libvirtError):
                domain.destroy()
        self._connection.close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.close()


def killed_run(base: Path, connect: str) -> str:
    """The id of a run that left all but the hold on its lock."""
    folder = base / "0123abcd"
    folder.mkdir()
    (folder / "alive.lock").touch()
    (folder / "run.json").write_text(json.dumps({"connect": connect}))
    return folder.name


def test_guests_of_a_killed_run_end_and_are_named(base: Path, daemon: Daemon) -> None:
    run = killed_run(base, DAEMON)
    daemon.start("one", run)
    daemon.start("two", run)
    reaped = reap(base, base / "cache")
    assert (reaped.runs, set(reaped.domains)) == ((run,), {"one", "two"})
    assert daemon.active() == set()
    assert not (base / run).exists()


def test_guests_of_others_go_on(base: Path, daemon: Daemon) -> None:
    run = killed_run(base, DAEMON)
    daemon.start("of-another-run", "89abcdef")
    daemon.start("of-another-suite", run, "https://theirs.example/run")
    assert reap(base, base / "cache").domains == ()
    assert daemon.active() == {"of-another-run", "of-another-suite"}


def test_guests_of_a_living_run_go_on(base: Path, daemon: Daemon) -> None:
    killed_run(base, DAEMON)
    with new_run(base, DAEMON) as living:
        daemon.start("alive", living.id)
        assert reap(base, base / "cache").domains == ()
        assert daemon.active() == {"alive"}


@pytest.mark.parametrize("connect", [EMBEDDED, ""])
def test_no_daemon_is_asked_where_there_was_none(
    base: Path, connect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypervisor, "connected", lambda *_: pytest.fail("libvirt was asked"))
    run = killed_run(base, connect)
    assert reap(base, base / "cache").runs == (run,)


@pytest.mark.parametrize("connect", ["banana", "banana:///system", "qemu+ssh://lab-3/system"])
def test_killed_run_that_never_reached_a_libvirt_is_no_hindrance(base: Path, connect: str) -> None:
    run = killed_run(base, connect)
    assert reap(base, base / "cache").runs == (run,)
    assert reap(base, base / "cache").nothing
