"""A vmlinux is the dump's own by its build ID, and by nothing else."""

import os
import struct
from pathlib import Path

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.unit.vmcore.vmlinuxes import BUILD_ID, OTHER_BUILD_ID, vmlinux
from kdump_tests.vmcore.debug_information import Search, build_id_of, chosen, find, may_be_found

RELEASE = "6.1.0-story"
DUMP = Path("vmcore")


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBUGINFOD_URLS", raising=False)


def search(folder: Path, build_id: str | None = BUILD_ID, release: str | None = RELEASE) -> Search:
    return find(build_id, release, folder / "cache", folder / "root")


def test_build_id_is_read_out_of_the_notes(tmp_path: Path) -> None:
    assert build_id_of(put(tmp_path / "vmlinux", vmlinux())) == BUILD_ID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no ELF file",
        vmlinux()[:40],
        vmlinux()[:-1],
        vmlinux(name=b"ELF\0"),
        vmlinux(kind=4),
        vmlinux().replace(b"\x7fELF\x02", b"\x7fELF\x01"),
        vmlinux()[:40] + struct.pack("<Q", 1 << 60) + vmlinux()[48:],
        vmlinux()[:60] + struct.pack("<H", 0xFFFF) + vmlinux()[62:],
    ],
)
def test_what_has_no_build_id_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadInput, match="is no vmlinux") as caught:
        build_id_of(put(tmp_path / "vmlinux", content))
    assert caught.value.facts["reason"]


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "vmlinux")
    with pytest.raises(BadInput, match="is no vmlinux"):
        build_id_of(tmp_path / "vmlinux")


def test_the_vmlinux_of_another_kernel_is_refused_with_both_ids(tmp_path: Path) -> None:
    path = put(tmp_path / "vmlinux", vmlinux(OTHER_BUILD_ID))
    with pytest.raises(BadInput, match="is not the kernel of vmcore") as caught:
        chosen(path, BUILD_ID, DUMP)
    assert {OTHER_BUILD_ID, BUILD_ID} <= set(caught.value.facts.values())


def test_a_folder_gives_the_one_that_belongs_to_the_dump(tmp_path: Path) -> None:
    put(tmp_path / "vmlinux-6.1.0-other", vmlinux(OTHER_BUILD_ID))
    right = put(tmp_path / "vmlinux-6.1.0-story", vmlinux())
    assert chosen(tmp_path, BUILD_ID, DUMP).path == right


def test_a_folder_without_it_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "vmlinux", vmlinux(OTHER_BUILD_ID))
    with pytest.raises(BadInput, match=f"holds no vmlinux of build ID {BUILD_ID}"):
        chosen(tmp_path, BUILD_ID, DUMP)


def test_no_vmlinux_is_known_to_belong_to_a_dump_without_a_build_id(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not tell its kernel's build ID"):
        chosen(put(tmp_path / "vmlinux", vmlinux()), None, DUMP)
    assert search(tmp_path, build_id=None).vmlinux is None


@pytest.mark.parametrize(
    "place",
    [
        f"cache/debuginfo/debian-12/{BUILD_ID}/vmlinux",
        f"root/usr/lib/debug/.build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}.debug",
        f"root/usr/lib/debug/boot/vmlinux-{RELEASE}",
        f"root/usr/lib/debug/lib/modules/{RELEASE}/vmlinux",
    ],
)
def test_it_is_found_where_packages_and_the_cache_have_it(tmp_path: Path, place: str) -> None:
    path = put(tmp_path / place, vmlinux())
    found = search(tmp_path).vmlinux
    assert found is not None
    assert (found.path, found.build_id) == (path, BUILD_ID)


def test_a_vmlinux_of_the_same_release_and_another_build_is_passed_over(tmp_path: Path) -> None:
    wrong = put(tmp_path / f"root/usr/lib/debug/boot/vmlinux-{RELEASE}", vmlinux(OTHER_BUILD_ID))
    put(tmp_path / f"cache/debuginfo/debian-12/{BUILD_ID}/vmlinux", vmlinux(OTHER_BUILD_ID))
    found = search(tmp_path)
    assert found.vmlinux is None
    assert str(wrong) in found.looked_at


@pytest.mark.parametrize("release", ["../../../../tmp/x", "a/../../b", ".."])
def test_a_release_leads_nowhere_else(tmp_path: Path, release: str) -> None:
    places = search(tmp_path, release=release).looked_at
    assert [place for place in places if ".build-id" not in place] == []


def debuginfod(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = put(folder / "bin" / "debuginfod-find", f"#!/bin/sh\n{script}\n".encode())
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DEBUGINFOD_URLS", "https://debuginfod.example")


def test_a_server_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "fetched", vmlinux())
    debuginfod(tmp_path, monkeypatch, f'test "$1 $2" = "debuginfo {BUILD_ID}" && echo {path}')
    found = search(tmp_path)
    assert found.vmlinux is not None
    assert found.vmlinux.path == path
    assert "debuginfod.example" in found.looked_at[-1]


@pytest.mark.parametrize("script", ["exit 1", "echo /nowhere", "echo {wrong}"])
def test_a_server_that_has_it_not_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    wrong = put(tmp_path / "fetched", vmlinux(OTHER_BUILD_ID))
    debuginfod(tmp_path, monkeypatch, script.format(wrong=wrong))
    assert search(tmp_path).vmlinux is None


@pytest.mark.parametrize(
    ("place", "of_the_image", "of_a_host"),
    [
        ("root/usr/lib/debug/.build-id/ab/cdef.debug", False, False),  # of any program
        ("root/usr/lib/debug/boot/vmlinux-6.1.0-story", True, True),
        ("root/lib/modules/6.1.0-story/build/vmlinux", True, True),
        ("cache/debuginfo/debian-12/abcdef/vmlinux", True, True),
        ("cache/debuginfo/debian-13/abcdef/vmlinux", False, True),
    ],
)
def test_before_a_dump_is_there_it_is_known_whether_looking_is_worth_it(
    tmp_path: Path, place: str, of_the_image: bool, of_a_host: bool
) -> None:
    put(tmp_path / place, vmlinux())
    cache, root = tmp_path / "cache", tmp_path / "root"
    assert may_be_found(cache, "debian-12", root) == of_the_image
    assert may_be_found(cache, None, root) == of_a_host
