"""A real kernel is asked what it keeps aside, and the evaluation must have known."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kdump_tests.cli import main
from kdump_tests.crashkernel.matrix import Case, expect, probe
from kdump_tests.crashkernel.setting import parse_setting
from kdump_tests.guest.image import BuiltImage
from kdump_tests.sizes import GIB, MIB, format_size

_SIZES = st.integers(0, 3 * GIB // MIB).map(lambda size: size * MIB)
_EDGES = st.lists(st.integers(0, 512), min_size=2, max_size=6, unique=True).map(sorted)
_MEMORY = st.one_of(
    st.integers(512, 16 << 10).map(lambda size: size * MIB),
    st.integers(1, 256).map(lambda size: size * GIB),
    # Around the edges that _EDGES can draw.
    st.tuples(st.integers(1, 128), st.integers(-130, 130)).map(
        lambda drawn: drawn[0] * 512 * MIB + 512 * MIB + drawn[1] * MIB
    ),
)


@st.composite
def values(draw: st.DrawFn) -> str:
    """A size, one with a suffix, or ranges in whatever order."""
    if draw(st.integers(0, 3)) == 0:
        return format_size(draw(_SIZES)) + draw(st.sampled_from(["", ",high", ",low"]))
    edges = [edge * 512 * MIB for edge in draw(_EDGES)]
    pairs = list(zip(edges, [*edges[1:], None], strict=True))
    return ",".join(
        f"{format_size(start)}-{format_size(end) if end else ''}:{format_size(draw(_SIZES))}"
        for start, end in draw(st.permutations(pairs))
    )


def test_kernel_agrees_at_every_boundary_of_the_rule_of_thumb(
    image: BuiltImage, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", f"--image={image.image.name}", "--policy=rhel8-rule-of-thumb", "--json"]
    assert main([*words, "--memory=boundaries"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["agrees"] for row in rows} == {True}
    assert (rows[0]["memory"], rows[-1]["memory"]) == (512 * MIB, 16 << 40)
    low = {row["memory"]: row["reserved_low"] for row in rows}
    assert low[8 * GIB] == 0
    assert low[64 * GIB] == 256 * MIB


def test_kernel_of_a_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "holiday.jpg"
    picture.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000))
    assert main(["probe", f"--kernel={picture}", "--crashkernel=256M", "--memory=1G"]) == 64
    assert "holiday.jpg is not an x86 kernel" in capsys.readouterr().err


# Shrinking would boot hundreds of kernels more; the disagreement is told as it was drawn.
@settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(values(), _MEMORY), min_size=25, max_size=25))
def test_kernel_agrees_on_whatever_is_asked(image: BuiltImage, drawn: list[tuple[str, int]]) -> None:
    assert image.kernel is not None
    asked = [expect(Case(parse_setting(value), memory)) for value, memory in drawn]
    foretold = [expectation for expectation in asked if expectation.reservation is not None]
    wrong = [answer for answer in probe(image.kernel, foretold, "tcg") if not answer.agrees]
    assert wrong == []
