"""Whole runs of hostile words and numbers: a page stays a page, XML XML, and no terminal is steered."""

import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from kdump_tests.report.facts import Fact
from kdump_tests.report.junit import junit
from kdump_tests.report.page import render_page
from kdump_tests.report.terminal import verdict_table
from kdump_tests.unit.report.runs import all_facts

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></title></style><script src=//evil.example></script>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "https://evil.example/x",
    "//evil.example/x",
    "../../../etc/passwd",
    "]]><failure/>",
    "<!-- -->",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "\x9b2J",
    "\0\x01\x08\x0b\x7f\x85",
    "\ud800 \udfff",
    "\ufffe\uffff",
    "\u202egnp.exe\u2066\u200f\u061c",
    "a\r\nb\rc\n\n",
    "\u2028\u2029",
    "x" * 500,
    "",
]
KNOWN_TAGS = set(
    """
    html head meta link title style body main header h1 h2 h3 strong p b ul li section article span pre div
    table thead tbody tr th td a dl dt dd code details summary figure figcaption svg desc g text rect line
    circle path
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
KNOWN_XML = {"testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped"}
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
hostile_runs = st.lists(
    all_facts(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=()))), max_size=12
)


class Page(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.urls: set[str] = set()
        self.said = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.urls |= {value or "" for name, value in attrs if name in {"href", "src", "action", "data"}}

    def handle_data(self, data: str) -> None:
        self.said += data

    @property
    def foreign_urls(self) -> set[str]:
        return {url for url in self.urls - {"data:,"} if ":" in url or url.startswith("/") or ".." in url}


def steering(text: str) -> set[str]:
    """What in a text is for the terminal, and not to be read."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Cs"} or char in BIDI} - set(
        "\n\t"
    )


@settings(max_examples=60)
@given(hostile_runs)
def test_a_page_is_made_of_our_elements_and_loads_nothing(run: list[Fact]) -> None:
    page = Page(render_page(run))
    assert page.tags <= KNOWN_TAGS
    assert {name for name in page.attributes if name.startswith("on")} == set()
    assert page.foreign_urls == set()


@settings(max_examples=60)
@given(hostile_runs)
def test_a_page_is_text_that_steers_nothing(run: list[Fact]) -> None:
    page = render_page(run)
    assert steering(page) == set()
    assert page.encode().decode() == page


@settings(max_examples=60)
@given(hostile_runs)
def test_junit_is_xml_that_steers_nothing(run: list[Fact]) -> None:
    root = ET.fromstring(junit(run))  # noqa: S314 - ours, which is what is tested
    assert {element.tag for element in root.iter()} <= KNOWN_XML
    assert steering("".join(root.itertext())) == set()


@settings(max_examples=60)
@given(hostile_runs)
def test_a_terminal_of_80_columns_is_not_steered(run: list[Fact]) -> None:
    lines = verdict_table(run).split("\n")
    assert max(map(len, lines)) <= 80
    assert steering("".join(lines)) == set()
