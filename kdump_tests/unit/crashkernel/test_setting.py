"""The value of crashkernel= as the kernel's parser reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.crashkernel.setting import (
    LONGEST,
    Auto,
    Range,
    Ranges,
    Setting,
    Several,
    Simple,
    Single,
    Suffix,
    Suffixed,
    edges,
    enlarged,
    parse_setting,
)
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, MIB

SIZES = st.integers(0, (1 << 64) - 1) | st.integers(0, 1 << 14).map(lambda mib: mib * MIB)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    start, end = draw(st.lists(SIZES, min_size=2, max_size=2, unique=True).map(sorted))
    return Range(start, draw(st.just(end) | st.none()), draw(SIZES))


SINGLES: st.SearchStrategy[Single] = st.one_of(
    st.builds(Simple, SIZES, SIZES),
    st.builds(Ranges, st.lists(ranges(), min_size=1, max_size=6).map(tuple), SIZES),
    st.builds(Suffixed, SIZES, st.sampled_from(Suffix)),
    st.builds(Auto),
)
SETTINGS: st.SearchStrategy[Setting] = SINGLES | st.builds(
    Several, st.lists(SINGLES, min_size=2, max_size=4).map(tuple)
)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("256M", Simple(256 * MIB)),
        ("256m", Simple(256 * MIB)),
        ("0x10000000", Simple(256 * MIB)),
        ("200000001", Simple(200000001)),
        ("0", Simple(0)),
        ("256M@16M", Simple(256 * MIB, 16 * MIB)),
        # Offset 0 is what the kernel takes for "find a place".
        ("256M@0", Simple(256 * MIB)),
        # Debian's 6.1 and 6.12 reserve 8 MB for this: memparse() reads a leading 0 as octal.
        ("010M", Simple(8 * MIB)),
        ("512M,high", Suffixed(512 * MIB, Suffix.HIGH)),
        ("0,low", Suffixed(0, Suffix.LOW)),
        ("384M-:128M", Ranges((Range(384 * MIB, None, 128 * MIB),))),
        (
            "0M-2G:0M,2G-8G:192M@16M",
            Ranges((Range(0, 2 * GIB, 0), Range(2 * GIB, 8 * GIB, 192 * MIB)), 16 * MIB),
        ),
        ("auto", Auto()),
        ("64M,cma", Suffixed(64 * MIB, Suffix.CMA)),
        (
            "512M,high crashkernel=72M,low",
            Several((Suffixed(512 * MIB, Suffix.HIGH), Suffixed(72 * MIB, Suffix.LOW))),
        ),
        ("auto crashkernel=256M", Several((Auto(), Simple(256 * MIB)))),
    ],
)
def test_value_is_read_as_the_kernel_reads_it(text: str, setting: Setting) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize(
    "text",
    ["256M", "1G@16M", "512M,high", "72M,low", "2G-64G:256M,64G-:512M", "1G-4G:160M@32M", "auto"],
)
def test_what_people_write_is_written_back_as_it_was(text: str) -> None:
    assert str(parse_setting(text)) == text


@given(SETTINGS)
def test_every_setting_survives_being_written_and_read(setting: Setting) -> None:
    assert parse_setting(str(setting)) == setting


LANGUAGE = st.text("0123456789xKMGTPEmg-:,@ahilowut\u00e9 \n", max_size=40)


@given(st.text(max_size=60) | LANGUAGE | st.sampled_from("0189xM-:,@").map(lambda char: char * 2000))
def test_garbage_is_either_a_setting_or_refused_with_a_caret(text: str) -> None:
    try:
        setting = parse_setting(text)
    except BadInput as refused:
        shown, caret = refused.facts["value"].split("\n")
        assert len(caret) <= len(shown) + 1
    else:
        assert parse_setting(str(setting)) == setting


@pytest.mark.parametrize(
    ("text", "caret", "kernel_says"),
    [
        ("", 0, "crashkernel: memory value expected"),
        ("autos", 0, "crashkernel: memory value expected"),
        ("none", 0, "crashkernel: memory value expected"),
        (",high", 0, "crashkernel: memory value expected"),
        ("256MB", 4, "crashkernel: unrecognized char: B"),
        ("08M", 1, "crashkernel: unrecognized char: 8"),
        ("0xgM", 1, "crashkernel: unrecognized char: x"),
        ("1G-4G:160M,high", 2, "crashkernel: unrecognized char: -"),
        ("1G@16M,low", 2, "crashkernel: unrecognized char: @"),
        ("1G:160M", 2, "crashkernel: '-' expected"),
        ("1G-4G:160M,4G64G:192M", 13, "crashkernel: '-' expected"),
        ("1G-4G,160M:1G", 5, "crashkernel: ':' expected"),
        ("4G-2G:160M", 3, "crashkernel: end <= start"),
        ("4G-4G:160M", 3, "crashkernel: end <= start"),
        ("-4G:160M", 0, "crashkernel: Memory value expected"),
        ("1G-x:160M", 3, "crashkernel: Memory value expected"),
        ("1G-4G:", 6, "crashkernel: Memory value expected"),
        ("1G-4G:160M,", 11, "crashkernel: Memory value expected"),
        ("1G-4G:160M@", 11, "crashkernel: Memory value expected after '@'"),
        ("512M,high crashkernel=", 22, "crashkernel: memory value expected"),
        ("512M,high crashkernel=x,low", 22, "crashkernel: memory value expected"),
        ("512M,high 72M,low", 10, "nothing; it is another parameter"),
        ("256M ", 5, "nothing; it is another parameter"),
        # Slips that the kernel lets pass without a word.
        ("M", 0, "nothing; it takes this for 0"),
        ("256M@", 5, "nothing; it takes the offset for 0"),
        ("256M@16Mx", 8, "nothing; it ignores what follows"),
        ("1G-4G:160Mx", 10, "nothing; it ignores what follows"),
        ("16E", 0, "nothing; it drops the upper bits"),
    ],
)
def test_mistake_is_pointed_at_in_the_kernels_words(text: str, caret: int, kernel_says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_setting(text)
    assert refused.value.facts["value"] == f"{text}\n{' ' * caret}^"
    assert refused.value.facts["kernel says"] == kernel_says


@pytest.mark.parametrize("text", ["256M\t", "256M\nfoo", "256\u00b2M", "\u0662M", "\x1b[31m1M"])
def test_character_that_no_value_holds_is_shown_harmlessly(text: str) -> None:
    with pytest.raises(BadInput, match="printable ASCII") as refused:
        parse_setting(text)
    assert len(str(refused.value).splitlines()) == 3
    assert str(refused.value).replace("\n", "").isprintable()


def test_caret_stands_under_the_character_on_the_terminal() -> None:
    with pytest.raises(BadInput) as refused:
        parse_setting("1G-4G:160M,4G64G:192M")
    _, value, caret, _ = str(refused.value).splitlines()
    assert value[caret.index("^") :] == "64G:192M"


def test_value_longer_than_a_command_line_is_refused() -> None:
    with pytest.raises(BadInput, match="longer than a command line"):
        parse_setting("1" * (LONGEST + 1))


def test_edges_are_those_of_all_ranges() -> None:
    assert edges(parse_setting("0-2G:192M,2G-:256M")) == (2 * GIB,)
    assert edges(parse_setting("1G-4G:64M crashkernel=2G-:64M")) == (GIB, 2 * GIB, 4 * GIB)
    assert edges(parse_setting("256M")) == ()


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("256M", "320M"),
        ("256M@16M", "320M@16M"),
        # As kdump-utils adds them for memory encryption: to every range.
        ("2G-64G:256M,64G-:512M", "2G-64G:320M,64G-:576M"),
        # Where nothing is kept aside, nothing is to be enlarged.
        ("0-2G:0,2G-:192M", "0-2G:0,2G-:256M"),
        ("512M,high crashkernel=72M,low", "576M,high crashkernel=72M,low"),
        ("256M crashkernel=1G,cma", "320M crashkernel=1G,cma"),
    ],
)
def test_so_much_more_is_added_wherever_something_is_kept_aside(text: str, more: str) -> None:
    assert enlarged(parse_setting(text), 64 * MIB) == parse_setting(more)


@pytest.mark.parametrize("text", ["auto", "auto crashkernel=256M"])
def test_auto_cannot_be_enlarged(text: str) -> None:
    with pytest.raises(BadInput, match="no size to add to"):
        enlarged(parse_setting(text), 64 * MIB)
