"""What a guest says of its kernel is believed only in the form that kernels have."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.errors import LabError
from kdump_tests.guest.facts import Process, Witnesses, build_id, parse_processes
from kdump_tests.sizes import MIB

ID = bytes(range(20))


def note(name: bytes, kind: int, content: bytes) -> bytes:
    def padded(text: bytes) -> bytes:
        return text + bytes(-len(text) % 4)

    return struct.pack("<III", len(name), len(content), kind) + padded(name) + padded(content)


def encoded(*notes: bytes) -> str:
    return base64.b64encode(b"".join(notes)).decode()


def test_build_id_is_found_among_other_notes() -> None:
    others = note(b"Xen\0", 3, b"not it"), note(b"Linux\0", 257, b"x")
    assert build_id(encoded(*others, note(b"GNU\0", 3, ID), note(b"GNU\0", 3, b"later"))) == ID.hex()


@pytest.mark.parametrize(
    "notes",
    [
        "",
        "banana",
        "b\u00e4nana==",
        encoded(note(b"GNU\0", 5, ID)),
        encoded(note(b"Xen\0", 3, ID)),
        encoded(struct.pack("<III", 0xFFFFFFFF, 0xFFFFFFFF, 3)),
    ],
)
def test_notes_without_a_build_id_are_an_error_that_shows_them(notes: str) -> None:
    with pytest.raises(LabError, match="hold no build id"):
        build_id(notes)


@given(st.one_of(st.text(), st.binary().map(lambda notes: base64.b64encode(notes).decode())))
def test_whatever_the_guest_says_is_a_build_id_or_an_error(notes: str) -> None:
    try:
        found = build_id(notes)
    except LabError:
        return
    bytes.fromhex(found)


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9))), st.binary(min_size=1, max_size=40))
def test_build_id_is_found_behind_notes_of_any_size(
    others: list[tuple[bytes, bytes]], wanted: bytes
) -> None:
    before = [note(name, 1, content) for name, content in others]
    assert build_id(encoded(*before, note(b"GNU\0", 3, wanted))) == wanted.hex()


def seen(sysfs: int, iomem: Reservation, boot_log: Reservation) -> Witnesses:
    return Witnesses(sysfs * MIB, iomem, Announcement(boot_log, ()))


@pytest.mark.parametrize("sysfs", [128, 384])
def test_witnesses_agree_also_where_sysfs_leaves_out_the_low_piece(sysfs: int) -> None:
    kept = Reservation(128 * MIB, 256 * MIB)
    assert seen(sysfs, kept, kept).agree


@pytest.mark.parametrize(
    ("sysfs", "boot_log"),
    [
        (0, Reservation(128 * MIB)),
        (128, Reservation(0)),
        (128, Reservation(127 * MIB)),
        (256, Reservation(128 * MIB)),
    ],
)
def test_witnesses_that_tell_of_different_reservations_do_not_agree(
    sysfs: int, boot_log: Reservation
) -> None:
    assert not seen(sysfs, Reservation(128 * MIB), boot_log).agree


def test_processes_are_read_whatever_they_are_called() -> None:
    stat = (
        "1 (systemd) S 0 1 1 0 -1 4194560 9000 90000\n"
        "299 (sshd) S 1 299 299 0 -1 4194560\n"
        "338 (a) R (b\n) S 299 338 338 0 -1 4194304\n"
        "cat: /proc/340/stat: No such file or directory\n"
    )
    assert list(parse_processes(stat)) == [
        Process(1, "systemd", 0), Process(299, "sshd", 1), Process(338, "a) R (b\n", 299),
    ]  # fmt: skip
