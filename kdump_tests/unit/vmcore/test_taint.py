"""What tainted a kernel is in the last trace of its log."""

import pytest

from kdump_tests.vmcore.taint import MEANINGS, taints


@pytest.mark.parametrize(
    ("line", "letters"),
    [
        ("CPU: 0 PID: 336 Comm: sh Kdump: loaded Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2", ""),
        ("CPU: 2 PID: 1 Comm: sh Tainted: G        W  OE      6.1.0-56-amd64 #1", "WOE"),
        ("CPU: 2 PID: 1 Comm: sh Tainted: P S  B             5.10.0 #1", "PSB"),
        ("nothing of the kind", None),
    ],
)
def test_letters_are_those_of_the_trace(line: str, letters: str | None) -> None:
    assert taints(["[    1.0] before", f"[   27.151695] {line}", "[   27.2] after"]) == letters


def test_the_last_trace_counts_and_words_are_no_letters() -> None:
    log = [
        "Comm: a Not tainted 6.12.0 #1",
        "Comm: b Tainted: G    D W     6.12.0 #1",
        "Tainted: [D]=DIE, [W]=WARN",
    ]
    assert taints(log) == "DW"


def test_every_letter_has_a_meaning_but_the_one_that_is_no_taint() -> None:
    assert "G" not in MEANINGS
    assert len(MEANINGS) == 20  # TAINT_FLAGS_COUNT
