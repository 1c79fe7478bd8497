"""Expectations and answers: for a terminal, and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from kdump_tests.crashkernel.matrix import Answer, Case, Expectation
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.sizes import format_size

Asked = Expectation | Answer


def as_json(asked: Sequence[Asked]) -> str:
    """One array, an object per case. Sizes and addresses in bytes.

    ``expected`` has one outcome, more where chance decides, none where ``because`` says why.
    """
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
            "reserved": {
                **asdict(asked.said.reservation),
                "main_at": asked.said.main_at,
                "low_at": asked.said.low_at,
            },
            "agrees": asked.agrees,
            "kernel_says": list(asked.said.words),
        }
    return {
        "crashkernel": str(asked.case.setting),
        "memory": asked.case.memory,
        "expected": [asdict(outcome) for outcome in asked.outcomes],
        "because": asked.because,
    }


def _cells(asked: Asked) -> list[str]:
    if isinstance(asked, Answer):
        verdict = {True: "agrees", False: "DISAGREES", None: "not told beforehand"}[asked.agrees]
        said = "; ".join(asked.said.words) or "the kernel says nothing about crashkernel"
        reserved = f"reserved {_pieces(asked.said.reservation):<12}"
        return [*_cells(asked.expectation)[:2], reserved, f"{verdict:<9}", said]
    expected = " or ".join(map(_pieces, asked.outcomes)) or "?"
    return [f"{format_size(asked.case.memory):>9}", f"expected {expected:<12}", asked.because]


def _case(asked: Asked) -> Case:
    return asked.expectation.case if isinstance(asked, Answer) else asked.case


def _pieces(reservation: Reservation) -> str:
    low = f" + {format_size(reservation.low)} low" if reservation.low else ""
    cma = f" + {format_size(reservation.cma)} CMA" if reservation.cma else ""
    return format_size(reservation.main) + low + cma
