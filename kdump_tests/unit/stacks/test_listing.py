"""What lies at a dump target, by the guest's word: taken as it is, or refused."""

from contextlib import suppress
from unittest.mock import create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Output, Shell
from kdump_tests.stacks.listing import dump_directories, parse_listing
from kdump_tests.stacks.stack import DumpDirectory, SavedFile

REAL = (
    "1 d 755 root 4096 /var/crash/202611231034\0"
    "2 f 644 root 75114521 /var/crash/202611231034/dump.202611231034\0"
    "2 f 600 root 47098 /var/crash/202611231034/dmesg.202611231034\0"
    "1 f 644 root 204 /var/crash/kexec_cmd\0"
)
names = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)
files = st.builds(SavedFile, names, st.integers(0, 2**63), st.integers(0, 0o7777), st.just("root"))


def test_directories_come_with_their_files() -> None:
    (directory,) = parse_listing(REAL)
    assert directory == DumpDirectory(
        "/var/crash/202611231034",
        0o755,
        "root",
        (
            SavedFile("dmesg.202611231034", 47098, 0o600, "root"),
            SavedFile("dump.202611231034", 75114521, 0o644, "root"),
        ),
    )


def test_directories_are_sorted_whatever_the_order_of_the_disk() -> None:
    listing = "".join(f"1 d 755 root 4096 /var/crash/{number}\0" for number in (2, 10, 1))
    assert [directory.path for directory in parse_listing(listing)] == [
        f"/var/crash/{n}" for n in (1, 10, 2)
    ]


@pytest.mark.parametrize("listing", ["", "\0", "1 f 644 root 204 /var/crash/kexec_cmd\0"])
def test_a_target_without_directories_has_no_dumps(listing: str) -> None:
    assert parse_listing(listing) == ()


@given(st.lists(files, max_size=4, unique_by=lambda file: file.name))
def test_names_may_hold_anything_but_a_slash(saved: list[SavedFile]) -> None:
    lines = [f"2 f {file.mode:o} {file.owner} {file.size} /c/1/{file.name}\0" for file in saved]
    (directory,) = parse_listing("".join(["1 d 700 root 4096 /c/1\0", *lines]))
    assert set(directory.files) == set(saved)


@given(st.text() | st.from_regex(r"([12x] [dfl] [0-9a-z]{0,4} \w{0,3} -?[0-9a-z]{0,5} [/a\n ]{0,6}\0?)*"))
def test_garbage_is_a_listing_or_the_laboratorys_fault(listing: str) -> None:
    with suppress(LabError):
        parse_listing(listing)


@pytest.mark.parametrize(
    "entry",
    [
        "banana",
        "1 d 755 root 4096",
        "1 d 9 root 1 /c/1",
        "2 f 644 root many /c/1/x",
        "2 f 644 root 1 x",
        "2 f 644 root -5 /c/1/x",
    ],
)
def test_an_entry_of_another_form_is_refused_and_shown(entry: str) -> None:
    with pytest.raises(LabError, match="unknown form") as caught:
        parse_listing(f"{REAL}{entry}\0")
    assert caught.value.facts["entry"] == repr(entry)


@pytest.mark.parametrize("status", [0, 1])
def test_missing_target_holds_no_dumps(status: int) -> None:
    shell = create_autospec(Shell, instance=True)
    shell.attempt.return_value = Output("find", status, "", "find: '/var/crash': No such file or directory")
    assert dump_directories(shell, "/var/crash", Deadline.after(1, "a listing")) == ()


def test_guest_that_cannot_list_is_no_guest_without_dumps() -> None:
    shell = create_autospec(Shell, instance=True)
    shell.attempt.return_value = Output("find", 127, "", "sh: find: not found")
    with pytest.raises(LabError, match="cannot list its dumps"):
        dump_directories(shell, "/var/crash", Deadline.after(1, "a listing"))
