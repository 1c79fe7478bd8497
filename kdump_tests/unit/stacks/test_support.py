"""What is known of each option of kdump.conf on each stack."""

import pytest

from kdump_tests.stacks import STACKS
from kdump_tests.stacks.kdump_conf import OPTIONS as KNOWN
from kdump_tests.stacks.kdump_conf import parse_kdump_conf
from kdump_tests.stacks.support import OPTIONS, Verified, cell, table

CONF = "core_collector makedumpfile -z -d 17\npath /srv/dumps\nkdump_post /bin/a\n"
RUN = Verified("el", "a guest", "2026-11-25", CONF)


def test_every_option_has_a_row() -> None:
    named = {name for text in OPTIONS.values() for name in parse_kdump_conf(text).options()}
    # One of each kind is enough; an SSH target's key is no matter of its own.
    alike = {"ext2", "ext3", "minix", "sshkey", "default"}
    assert named | alike == KNOWN


@pytest.mark.parametrize(
    ("stack", "option", "words"),
    [
        ("el", "path /srv/dumps", "**verified** on a guest"),
        ("el", "core_collector makedumpfile -z -d 17", "**verified** on a guest"),
        ("el", "core_collector makedumpfile -z -d 31", "translated, unverified"),
        ("el", "kdump_post /bin/a", "dumps with it on a guest; its own effect is not judged"),
        ("el", "virtiofs dumps", "translated, unverified; nobody looks for such a dump yet"),
        ("debian", "path /srv/dumps", "translated, unverified"),
        ("debian", "final_action reboot", "translated, unverified; it is what happens anyway"),
        ("debian", "raw /dev/vdb", "not supported: dumps are saved to files"),
        ("suse", "final_action halt", "not supported: kdump-save reboots or opens a shell"),
    ],
)
def test_an_option_is_verified_by_a_run_alone(stack: str, option: str, words: str) -> None:
    assert cell(STACKS[stack], option, [RUN]) == words


def test_table_has_a_column_for_each_stack() -> None:
    head, _, *rows = table(STACKS, [RUN]).splitlines()
    assert head == "| option of kdump.conf | debian | el | suse |"
    assert len(rows) == len(OPTIONS)
