"""A disk that is met: which kdump it has, or is given, and what is kept of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, ImageError, LabError
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.image import Boot, BuiltImage
from kdump_tests.stacks import STACKS, introduction
from kdump_tests.stacks.introduction import introduced
from kdump_tests.unit.guest.described import built_image
from kdump_tests.unit.stacks.here import Here


def guest_on(here: Any) -> Any:
    guest = Mock(shell=here)
    guest.name = "disk-1G"
    guest.command_deadline.side_effect = lambda: Deadline.after(10, "a command ends")
    guest.deadline.side_effect = lambda _seconds, what: Deadline.after(10, what)
    return guest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    @contextmanager
    def open_door(_shell: object, _until: Deadline) -> Iterator[None]:
        yield

    monkeypatch.setattr(introduction, "door", open_door)
    return Here(tmp_path)


def test_what_is_installed_is_what_it_has(here: Here) -> None:
    here.has("kdumpctl")
    assert introduction._kdump_of(guest_on(here), STACKS, "auto").name == "el"
    assert here.calls == []


def test_another_than_the_named_one_is_refused(here: Here) -> None:
    here.has("kdumpctl")
    with pytest.raises(BadInput, match="is not debian"):
        introduction._kdump_of(guest_on(here), STACKS, "debian")


def test_named_one_is_installed_where_there_is_none(here: Here, tmp_path: Path) -> None:
    tool = tmp_path / "tools" / "kdump-config"
    here.has("apt-get", script=f"case $* in *install*) touch {tool}; chmod +x {tool};; esac")
    assert introduction._kdump_of(guest_on(here), STACKS, "debian").name == "debian"
    assert [call.split()[-1] for call in here.calls] == ["update", "kdump-tools"]


def test_repositories_that_do_not_answer_are_told_with_the_installers_words(here: Any) -> None:
    here.has("apt-get")

    def fails(*_argv: str, until: Deadline) -> str:
        raise LabError("a command failed", said="E: Could not resolve mirror.invalid", until=until.what)

    shell = Mock(attempt=here.attempt)
    shell.run.side_effect = lambda *argv, until: (
        fails(*argv, until=until) if "env" in argv else here.run(*argv, until=until)
    )
    with pytest.raises(ImageError, match="has no kdump, and it cannot be installed") as failure:
        introduction._kdump_of(guest_on(shell), STACKS, "debian")
    assert "Could not resolve" in failure.value.facts["said"]


def firmware_booted(disk: Path) -> BuiltImage:
    image = built_image()
    described = image.image.model_copy(update={"boot": Boot(), "stack": "auto"})
    return replace(image, image=described, kernel_release="", brought=DiskFile(disk, "raw", 512))


def test_what_was_kept_of_a_changed_disk_or_of_one_that_is_gone_goes_and_of_a_namesake_stays(
    tmp_path: Path,
) -> None:
    mine, namesake = tmp_path / "mine/disk.raw", tmp_path / "theirs/disk.raw"
    for disk in (mine, namesake):
        disk.parent.mkdir()
        disk.touch()
    for name, of in {"before": mine, "other": namesake, "gone": tmp_path / "gone/disk.raw"}.items():
        (tmp_path / "kept" / name).mkdir(parents=True)
        (tmp_path / "kept" / name / "introduction.json").write_text(json.dumps({"disk": str(of)}))
    outlived = introduction._outlived(tmp_path / "kept", mine)
    assert {folder.name for folder in outlived} == {"before", "gone"}


def test_what_was_met_is_known_until_it_changes(tmp_path: Path) -> None:
    image = firmware_booted(tmp_path / "disk.raw")
    assert introduced(image, "auto", tmp_path) is None
    folder = introduction._folder(image, "auto", tmp_path)
    folder.mkdir(parents=True)
    (folder / "introduction.json").write_text(
        '{"stack": "debian", "digest": "d", "kernel_release": "6.1", "crashkernel": "1G-:256M", "size": 9}'
    )
    known = introduced(image, "auto", tmp_path)
    assert known is not None
    assert (known.image.stack, known.crashkernel, known.kernel) == ("debian", "1G-:256M", folder / "vmlinuz")
    assert (known.disk, known.disk_format) == (folder / "disk.qcow2", "qcow2")
    assert introduced(replace(image, digest="other"), "auto", tmp_path) is None
    assert introduced(image, "el", tmp_path) is None
