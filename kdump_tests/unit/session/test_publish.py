"""What is captured, but, is told in the report."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from kdump_tests.crash.crash import Crash
from kdump_tests.errors import CaptureFailed
from kdump_tests.session import publish
from kdump_tests.unit.vmcore.crashed_machine import machine_with_users
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.vmcore.inspection import inspect


class WithoutDump:
    """A crash that left none."""

    @property
    def dump(self) -> object:
        raise CaptureFailed("no dump was saved")


def crash_of(path: Path, *, loses_slab: bool) -> Crash:
    path.write_bytes(machine_with_users(SyntheticRing(), {}, dump_level=31, loses_slab=loses_slab).image)
    dump = SimpleNamespace(vmcore=inspect(path))
    return cast(Crash, SimpleNamespace(guest="debian-sid-1G", dump=dump))


def test_pages_that_makedumpfile_lost_are_a_note(tmp_path: Path) -> None:
    (note,) = publish.remarks(crash_of(tmp_path / "vmcore", loses_slab=True))
    assert note.subject == "debian-sid-1G"
    assert note.text.startswith("captured, but 1 pages of the kernel's own are left out")


def test_nothing_is_noted_of_a_dump_as_its_level_says(tmp_path: Path) -> None:
    assert publish.remarks(crash_of(tmp_path / "vmcore", loses_slab=False)) == ()


def test_nothing_is_noted_where_there_is_no_dump() -> None:
    assert publish.remarks(cast(Crash, WithoutDump())) == ()
