"""Expectations and answers: for a terminal, and for programs."""

import json
from collections.abc import Sequence
from itertools import groupby

from kdump_tests.crashkernel.matrix import Answer, Case, Expectation
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.sizes import format_size

Asked = Expectation | Answer


def as_json(asked: Sequence[Asked]) -> str:
    """One array, an object per case. Sizes in bytes, null where ``because`` says why nothing is expected."""
    return json.dumps([_object(each) for each in asked], indent=1)


def as_table(asked: Sequence[Asked]) -> str:
    """A setting as a heading, a line per memory size."""
    lines: list[str] = []
    for setting, cases in groupby(asked, lambda each: _case(each).setting):
        lines.append(f"crashkernel={setting}")
        lines += ["  " + "  ".join(_cells(each)).rstrip() for each in cases]
    return "\n".join(lines)


def _object(asked: Asked) -> dict[str, object]:
    if isinstance(asked, Answer):
        return {
            **_object(asked.expectation),
            "reserved": asked.said.reservation.main,
            "reserved_low": asked.said.reservation.low,
            "agrees": asked.agrees,
            "kernel_says": list(asked.said.words),  # the addresses too
        }
    return {
        "crashkernel": str(asked.case.setting),
        "memory": asked.case.memory,
        "expected": asked.reservation.main if asked.reservation else None,
        "expected_low": asked.reservation.low if asked.reservation else None,
        "because": asked.because,
    }


def _cells(asked: Asked) -> list[str]:
    if isinstance(asked, Answer):
        verdict = {True: "agrees", False: "DISAGREES", None: "not told beforehand"}[asked.agrees]
        said = "; ".join(asked.said.words) or "the kernel says nothing about crashkernel"
        reserved = f"reserved {_pair(asked.said.reservation):<12}"
        return [*_cells(asked.expectation)[:2], reserved, f"{verdict:<9}", said]
    expected = _pair(asked.reservation) if asked.reservation else "?"
    return [f"{format_size(asked.case.memory):>9}", f"expected {expected:<12}", asked.because]


def _case(asked: Asked) -> Case:
    return asked.expectation.case if isinstance(asked, Answer) else asked.case


def _pair(reservation: Reservation) -> str:
    low = f" + {format_size(reservation.low)} low" if reservation.low else ""
    return format_size(reservation.main) + low
