"""What is known of each option of kdump.conf on each stack."""

import pytest

from kdump_tests.stacks import STACKS
from kdump_tests.stacks.kdump_conf import OPTIONS as KNOWN
from kdump_tests.stacks.kdump_conf import parse_kdump_conf
from kdump_tests.stacks.support import OPTIONS, Option, Verified, cell, table

CONF = """core_collector makedumpfile -z -d 17
path /srv/dumps
kdump_post /bin/a
final_action halt
failure_action reboot
"""
RUN = Verified("el", "a guest", "2026-11-25", CONF)
ON_A_DISK = Verified("debian", "another", "2026-11-25", "xfs LABEL=crash\ncore_collector makedumpfile -E\n")
LOST = Verified("el", "a full one", "2026-11-25", "failure_action shell\npath /srv/dumps\n", saved=False)
VERIFIED = "**verified** on a guest"
UNVERIFIED = "translated, unverified"


def named(name: str) -> Option:
    return next(option for option in OPTIONS if option.name == name)


def test_every_option_has_a_row() -> None:
    asked = {name for option in OPTIONS for name in parse_kdump_conf(option.text).options()}
    # One of each kind is enough; an SSH target's key is no matter of its own.
    alike = {"ext2", "ext3", "minix", "sshkey", "default"}
    assert asked | alike == KNOWN


def test_every_row_is_shown_by_a_run_with_its_own_lines() -> None:
    assert [each.name for each in OPTIONS if not each.shown_by(parse_kdump_conf(each.text))] == []


@pytest.mark.parametrize(
    ("stack", "option", "words"),
    [
        ("el", "`path`, on the root file system", VERIFIED),
        ("el", "dump level 17", VERIFIED),
        ("el", "dump level 31", UNVERIFIED),
        ("el", "zstd", VERIFIED),
        ("el", "zlib", UNVERIFIED),
        ("el", "no compression", UNVERIFIED),
        ("el", "nothing but the defaults", UNVERIFIED),
        ("el", "`final_action halt`", VERIFIED),
        ("el", "`final_action poweroff`", UNVERIFIED),
        ("el", "`failure_action shell`", "**verified** on a full one"),
        ("el", "`failure_action reboot`", UNVERIFIED),
        ("el", "`kdump_post`", "dumps with it on a guest; its own effect is not judged"),
        ("el", "`virtiofs`", f"{UNVERIFIED}; nobody looks for such a dump yet"),
        ("debian", "dump level 17", UNVERIFIED),
        ("debian", "… by label", "**verified** on another"),
        ("debian", "… by UUID", UNVERIFIED),
        ("debian", "`path`, on the root file system", UNVERIFIED),
        ("debian", "ELF", "**verified** on another"),
        ("debian", "`final_action reboot`", f"{UNVERIFIED}; it is what happens anyway"),
        ("debian", "`raw`", "not supported: dumps are saved to files"),
        ("suse", "`final_action halt`", "not supported: kdump-save reboots or opens a shell"),
    ],
)
def test_an_option_is_verified_by_a_run_alone(stack: str, option: str, words: str) -> None:
    assert cell(STACKS[stack], named(option), [RUN, ON_A_DISK, LOST]) == words


def test_table_has_a_column_for_each_stack() -> None:
    head, _, *rows = table(STACKS, [RUN]).splitlines()
    assert head == "| option of kdump.conf | debian | el | suse |"
    assert len(rows) == len(OPTIONS)
