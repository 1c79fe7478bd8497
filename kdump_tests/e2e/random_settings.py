"""Settings and memory sizes as hypothesis draws them, around the edges where kernels could disagree."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kdump_tests.crashkernel.generation import generation_of
from kdump_tests.crashkernel.matrix import Case, Expectation, expect
from kdump_tests.crashkernel.placement import placement_of
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
def _values(draw: st.DrawFn) -> str:
    """What stands after crashkernel=, and at times a second one."""
    pairs = st.tuples(_SIZES.map(format_size), st.sampled_from([",high", ""]), _SIZES.map(format_size)).map(
        lambda drawn: [f"{drawn[0]}{drawn[1]}", f"{drawn[2]},low"]
    )
    return " crashkernel=".join(draw(st.lists(_single_values(), min_size=1, max_size=2) | pairs))


@st.composite
def _single_values(draw: st.DrawFn) -> str:
    """A size, one with a suffix or an offset, auto, or ranges in whatever order."""
    match draw(st.integers(0, 7)):
        case 0:
            return draw(st.sampled_from(["auto", "0", "192M@17M", "256M@64M", "200000001"]))
        case 1 | 2:
            return format_size(draw(_SIZES)) + draw(st.sampled_from(["", ",high", ",low", ",cma"]))
    edges = [edge * 512 * MIB for edge in draw(_EDGES)]
    pairs = list(zip(edges, [*edges[1:], None], strict=True))
    return ",".join(
        f"{format_size(start)}-{format_size(end) if end else ''}:{format_size(draw(_SIZES))}"
        for start, end in draw(st.permutations(pairs))
    )


def draw_foretold(count: int, image: BuiltImage) -> list[Expectation]:
    """Those of so many cases of which can be told what the image's kernel makes of them.

    Others have nothing to disagree with, and of some of them Linux 7.2 dies: of pieces of ,cma.
    """
    architecture = image.image.architecture
    generation = generation_of(image.kernel_release, architecture)
    placement = placement_of(architecture).probed
    drawn = (expect(case, generation, placement) for case in _draw_cases(count))
    return [each for each in drawn if each.outcomes]


def _draw_cases(count: int) -> list[Case]:
    """Others each time. Drawn before any kernel is asked: as many can then be asked at once as fit."""
    cases: list[Case] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_values(), _MEMORY)
    def draw(value: str, memory: int) -> None:
        cases.append(Case(parse_setting(value), memory))

    draw()
    return cases
