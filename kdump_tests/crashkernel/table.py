"""Expectations and answers as rows: for a terminal, and for programs."""

import json
from collections.abc import Sequence

from kdump_tests.crashkernel.matrix import Answer, Expectation
from kdump_tests.sizes import format_size

Row = dict[str, object]


def expected_row(expectation: Expectation) -> Row:
    """Sizes in bytes; ``expected`` and ``expected_low`` are null where ``because`` says why."""
    wanted = expectation.reservation
    return {
        "crashkernel": expectation.case.value,
        "memory": expectation.case.memory,
        "expected": wanted.main if wanted else None,
        "expected_low": wanted.low if wanted else None,
        "because": expectation.because,
    }


def answer_row(answer: Answer) -> Row:
    """The same, and what the kernel said. Its words hold the addresses."""
    return {
        **expected_row(answer.expectation),
        "reserved": answer.said.reservation.main,
        "reserved_low": answer.said.reservation.low,
        "agrees": answer.agrees,
        "kernel_says": list(answer.said.words),
    }


def as_json(rows: Sequence[Row]) -> str:
    """One array."""
    return json.dumps(rows, indent=1)


def as_table(rows: Sequence[Row]) -> str:
    """For people: a setting as a heading, a line per memory size."""
    lines: list[str] = []
    heading = None
    for row in rows:
        if row["crashkernel"] != heading:
            heading = row["crashkernel"]
            lines.append(f"crashkernel={heading}")
        lines.append("  " + "  ".join(_cells(row)).rstrip())
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    cells = [f"{_size(row['memory']):>9}", f"expected {_pair(row['expected'], row['expected_low']):<12}"]
    if "agrees" not in row:
        return [*cells, str(row["because"])]
    verdict = {True: "agrees", False: "DISAGREES", None: "not told beforehand"}[row["agrees"]]  # type: ignore[index]
    words = row["kernel_says"]
    assert isinstance(words, list)
    said = "; ".join(words) or "the kernel says nothing about crashkernel"
    return [*cells, f"reserved {_pair(row['reserved'], row['reserved_low']):<12}", f"{verdict:<9}", said]


def _pair(main: object, low: object) -> str:
    if main is None:
        return "?"
    assert isinstance(main, int)
    assert isinstance(low, int)
    return _size(main) + (f" + {_size(low)} low" if low else "")


def _size(size: object) -> str:
    assert isinstance(size, int)
    return format_size(size)
