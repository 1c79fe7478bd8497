"""A line of results.jsonl says its fact, neither more nor less."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.errors import BadInput
from kdump_tests.report import facts
from kdump_tests.report.facts import FACTS, Fact, Reservation, as_line, parse_line, read_facts
from kdump_tests.unit.report.runs import all_facts
from kdump_tests.unit.report.stories import EVERY_FACT, KILLED, PASSED, STARTED, WORKING

# What surrogateescape makes of bytes that are no UTF-8 is text too.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)


@given(all_facts(TEXT))
def test_every_fact_survives_its_line(fact: Fact) -> None:
    line = as_line(fact)
    assert parse_line(line) == fact
    assert line.isascii()
    assert line.count(b"\n") == 1


def documented_lines() -> list[dict[str, object]]:
    text, decoder, lines, at = facts.__doc__ or "", json.JSONDecoder(), [], 0
    while (at := text.find('{"kind"', at)) >= 0:
        line, at = decoder.raw_decode(text, at)
        lines.append(line)
    return lines


def test_documentation_shows_a_line_of_every_kind() -> None:
    assert [line["kind"] for line in documented_lines()] == list(FACTS)


@pytest.mark.parametrize("line", documented_lines(), ids=lambda line: line["kind"])
def test_documented_line_is_one_we_write(line: dict[str, object]) -> None:
    assert json.loads(as_line(parse_line(json.dumps(line)))) == line


def test_torn_last_line_is_no_fact(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(b"".join(map(as_line, KILLED)) + as_line(PASSED)[:-20])
    assert read_facts(file) == KILLED


def test_a_run_that_ended_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(b"".join(map(as_line, WORKING)))
    assert read_facts(file) == WORKING


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(as_line(STARTED) + as_line(PASSED)[:-20] + b"\n" + as_line(PASSED))
    with pytest.raises(BadInput, match="a line of results"):
        read_facts(file)


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_facts(tmp_path / "results.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"kind": "weather"}',
        '{"kind": ["run_ended"]}',
        '{"kind": "run_ended", "at": 1.0, "exit_status": 0}',
        '{"kind": "run_ended", "at": "noon", "exit_status": 0, "seconds": 1.0}',
        '{"kind": "run_ended", "at": 1.0, "exit_status": true, "seconds": 1.0}',
        '{"kind": "run_ended", "at": true, "exit_status": 0, "seconds": 1.0}',
        '{"kind": "run_ended", "at": 1.0, "exit_status": 0, "seconds": 1.0, "mood": "good"}',
        '{"kind": "verdict", "test": "t", "outcome": "maybe", "seconds": 1.0, "message": ""}',
        '{"kind": "run_ended", "at": NaN, "exit_status": 0, "seconds": 1.0}',
        b'{"kind": "\xff"}',
    ],
)
def test_what_is_no_fact_is_refused(line: str) -> None:
    with pytest.raises(BadInput):
        parse_line(line)


def test_a_reservation_from_before_there_were_probes_is_read() -> None:
    line = (
        '{"kind": "reservation", "guest": "a", "memory": 8, "expected": 4, "sysfs": 4, "iomem": 4, '
        '"boot_log": null}'
    )
    assert parse_line(line) == Reservation("a", 8, 4, 4, 4, None)


def test_every_kind_is_told_in_the_stories() -> None:
    assert {fact.kind for fact in EVERY_FACT} == set(FACTS)
