"""Guests are hostile: what they print is shown, and does nothing."""

import dataclasses
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from kdump_tests.report.facts import Fact
from kdump_tests.report.foreign import first_line, one_line, readable, relative_url
from kdump_tests.report.junit import junit
from kdump_tests.report.page import render_page
from kdump_tests.report.terminal import verdict_table
from kdump_tests.report.words import folder_name
from kdump_tests.unit.report.stories import EVERY_FACT

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "closing tag": "</title></style></pre><script src=//evil.example></script>",
    "attribute": "\" onmouseover='alert(1)' x=\"' onload=alert(1) '",
    "url": "javascript:alert(1)",
    "remote": "//evil.example/x.png",
    "cdata": "]]> <![CDATA[ --> <!--",
    "entity": "&lt;&#0;&bogus;",
    "template": "{{ 7 * 7 }} {% raw %}",
    "ansi": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x1b[",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9b\x9f",
    "surrogates": "\ud800 \udcff \udfff",
    "noncharacters": "\ufffe\uffff",
    "right to left": "\u202eexe.gpj\u202c \u05e9\u05dc\u05d5\u05dd \u2066x\u2069",
    "empty": "",
}


def spoiled(value: object, hostile: str) -> object:
    """The fact with every text in it replaced. What is no free text keeps its value."""
    match value:
        case str() if value in {"passed", "failed", "error", "skipped"}:
            return value
        case str():
            return hostile
        case tuple():
            return tuple(spoiled(item, hostile) for item in value)
        case Mapping():
            return {hostile: hostile, "hostname": hostile}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return dataclasses.replace(
                value, **{name: spoiled(part, hostile) for name, part in parts.items()}
            )
    return value


def told_by(hostile: str) -> tuple[Fact, ...]:
    return tuple(spoiled(fact, hostile) for fact in EVERY_FACT)  # type: ignore[misc]


class Page(HTMLParser):
    """Everything that a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def named(self, *names: str) -> list[str]:
        return [value for name, value in self.attributes if name in names]


HARMLESS = Page(render_page(told_by("harmless")))


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_page_does_nothing(text: str) -> None:
    page = Page(text)
    assert "script" not in page.elements
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not page.named("src", "action", "background", "data", "poster", "srcset", "style")
    assert not [url for url in page.named("href") if url.startswith("/") or ":" in url.replace("data:,", "")]


def test_hostile_words_do_nothing_in_the_page(hostile: str) -> None:
    page = render_page(told_by(hostile))
    assert_page_does_nothing(page)
    page.encode("utf-8")


def test_hostile_words_add_no_attribute_to_the_page(hostile: str) -> None:
    assert {name for name, _ in Page(render_page(told_by(hostile))).attributes} <= {
        name for name, _ in HARMLESS.attributes
    }


@given(st.text(st.characters()))
def test_no_words_at_all_do_anything(words: str) -> None:
    assert_page_does_nothing(render_page(told_by(words)))
    assert len(list(next(iter(JUnitXml.fromstring(junit(told_by(words))))))) == 4


def test_hostile_words_make_valid_junit(hostile: str) -> None:
    (suite,) = JUnitXml.fromstring(junit(told_by(hostile)))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 1, 1)


def test_hostile_words_give_the_terminal_no_orders(hostile: str) -> None:
    table = verdict_table(told_by(hostile))
    assert all(line.isprintable() for line in table.splitlines())
    table.encode("utf-8")


def test_hostile_names_are_plain_folders(hostile: str) -> None:
    name = folder_name(hostile)
    assert name.isascii()
    assert not {"/", "\\", "\0", "\n"} & set(name)
    assert name not in {"", ".", ".."}


@pytest.mark.parametrize(
    ("one", "other"), [("a/b", "a-b"), ("a b", "a/b"), ("..", "."), ("A" * 200, "A" * 201), ("", "-")]
)
def test_different_guests_have_different_folders(one: str, other: str) -> None:
    assert folder_name(one) != folder_name(other)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[1;31mFAILED\x1b[0m", "FAILED"),
        ("\x1b]0;title\x07login:", "login:"),
        ("10%\r50%\r\n100%", "10%\n50%\n100%"),
        ("a\0b\x1b", "a\N{SYMBOL FOR NULL}b\N{SYMBOL FOR ESCAPE}"),
        ("\u202egpj", "<U+202E>gpj"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_what_was_printed_is_shown_as_text(said: str, shown: str) -> None:
    assert readable(said) == shown


def test_lines_become_one() -> None:
    assert one_line(" a \n\t b ") == "a b"
    assert first_line("\n \n first \nsecond") == "first"


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("guests/a/console.log", "guests/a/console.log"),
        ("guests/a b/100%#?.log", "guests/a%20b/100%25%23%3F.log"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("\udcff", "%FF"),
        ("/etc/passwd", ""),
        ("//evil.example/x", ""),
        ("a/../../x", ""),
        ("\ud800", ""),
        ("", ""),
    ],
)
def test_links_stay_inside_the_report(path: str, url: str) -> None:
    assert relative_url(path) == url
