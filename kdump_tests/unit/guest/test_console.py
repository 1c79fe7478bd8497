"""The console hears every byte that QEMU writes, from the first one, as lines."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import DeadlineExpired
from kdump_tests.guest import console as consoles
from kdump_tests.guest.console import Console, _Splitter

Print = Callable[[bytes], None]


def soon() -> Deadline:
    return Deadline.after(10, "the guest prints")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "console.log"


@pytest.fixture
def console(record: Path) -> Iterator[Console]:
    console = Console(record)
    yield console
    console.close()


@pytest.fixture
def qemu(console: Console) -> Iterator[Print]:
    """QEMU's end: what it is given, the guest prints."""
    with console.record.open("ab", buffering=0) as serial:

        def write(what: bytes) -> None:
            serial.write(what)

        yield write


def all_of(console: Console) -> list[str]:
    """Every line of a guest that ends here."""
    console.machine_ended()
    return [line.text for line in console.follow(0, soon())]


def lines_of(*chunks: bytes) -> list[tuple[int, str]]:
    splitter = _Splitter()
    told = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.rest()
    return [(line.number, line.text) for line in told]


def test_lines_are_heard_as_they_come(console: Console, qemu: Print) -> None:
    qemu(b"[    0.000000] Linux version 6.1.0\r\n[    0.000000] Command")
    qemu(b" line: ro\r\n")
    heard = console.follow(0, soon())
    assert [next(heard).text, next(heard).text] == [
        "[    0.000000] Linux version 6.1.0",
        "[    0.000000] Command line: ro",
    ]


def test_what_was_printed_before_anybody_watched_is_heard(record: Path) -> None:
    record.write_bytes(b"first words\r\n")
    console = Console(record)
    line = console.expect(re.compile("first words"), 0, soon())
    console.close()
    assert line is not None


def test_record_belongs_to_us_alone(console: Console) -> None:
    assert console.record.stat().st_mode & 0o777 == 0o600


def test_whoever_waits_is_woken_by_the_line(console: Console, qemu: Print) -> None:
    delay = threading.Timer(0.1, qemu, [b"kdump-guest login: "])
    delay.start()
    begun = time.monotonic()
    line = console.expect(re.compile("login: $"), 0, soon())
    delay.join()
    assert line is not None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("prompt", ["kdump-guest login: ", "(initramfs) "])
def test_prompt_is_heard_though_its_line_does_not_end(console: Console, qemu: Print, prompt: str) -> None:
    qemu(f"\r\nDebian GNU/Linux 12\r\n{prompt}".encode())
    line = console.expect(re.compile(re.escape(prompt)), 0, soon())
    assert line is not None
    assert (line.number, line.text) == (3, prompt)


@pytest.mark.parametrize("said", ["Command line: ", "Kernel panic - not syncing: ", "reboot: ", "# ", "$ "])
def test_line_is_not_cut_where_a_chunk_happens_to_end(said: str) -> None:
    assert lines_of(said.encode(), b"and the rest\n") == [(1, f"{said}and the rest")]


def test_end_of_the_guest_ends_the_following_after_its_last_words(console: Console, qemu: Print) -> None:
    qemu(b"one\ntwo\nlast words")
    assert all_of(console) == ["one", "two", "last words"]
    assert console.closed


def test_end_of_the_guest_wakes_whoever_waits(console: Console) -> None:
    delay = threading.Timer(0.1, console.machine_ended)
    delay.start()
    assert console.expect(re.compile("login"), 0, soon()) is None
    delay.join()


def test_silence_ends_with_the_deadline(console: Console, qemu: Print) -> None:
    qemu(b"one\n")
    with pytest.raises(DeadlineExpired, match="not in time: the login"):
        console.expect(re.compile("login"), 0, Deadline.after(0.1, "the login"))


def converse(console: Console, qemu: Print, until: Deadline) -> None:
    """Answer every line with another, so that there is always one more to hear."""

    def require(lines: int) -> None:
        assert console.end >= lines

    for heard, _ in enumerate(console.follow(0, until), 1):
        qemu(b"still here\n")
        wait_until(partial(require, heard + 1), soon(), retry_on=AssertionError, pause=0.0001)
        assert not Deadline(until.at + 5, "").expired, "it goes on and on"


def test_chatter_does_not_put_off_the_deadline(console: Console, qemu: Print) -> None:
    qemu(b"here\n")
    with pytest.raises(DeadlineExpired):
        converse(console, qemu, Deadline.after(0.2, "the login"))


def test_following_begins_where_it_is_told_to(console: Console, qemu: Print) -> None:
    qemu(b"old login: \nnew\n")
    new = console.expect(re.compile("new"), 0, soon())
    assert new is not None
    place = console.index_of(new)
    console.machine_ended()
    assert [line.text for line in console.follow(place, soon())] == ["new"]
    assert console.end == place + 1


def test_tail_is_the_last_lines(console: Console, qemu: Print) -> None:
    qemu(b"one\ntwo\nthree\n")
    assert all_of(console)
    assert console.tail(2) == "two\nthree"
    assert console.tail() == "one\ntwo\nthree"


def test_line_carries_its_number_in_the_record(console: Console, qemu: Print, record: Path) -> None:
    qemu(b"one\r\n\r\nthree: [  1 %]\rthree: [100 %]\r\nfour\r\n")
    line = console.expect(re.compile("four"), 0, soon())
    assert line is not None
    assert record.read_text().splitlines(keepends=False)[-1] == "four"
    assert line.number == record.read_bytes().count(b"\n") == 4


def test_closing_without_a_guest_does_not_hang(record: Path) -> None:
    begun = time.monotonic()
    Console(record).close()
    assert time.monotonic() - begun < 2


def test_closing_twice_is_closing(console: Console) -> None:
    console.close()
    console.close()
    console.machine_ended()
    assert console.closed


def test_endless_print_is_read_no_further_than_measure(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consoles, "_LARGEST_RECORD", 100_000)
    record.write_bytes(b"flood\n" * 50_000)
    console = Console(record)
    heard = list(console.follow(0, soon()))
    console.close()
    assert len(heard) < 2 * 100_000 / len("flood\n")


def test_most_lines_are_kept_and_no_more(
    console: Console, qemu: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consoles, "_MOST_LINES", 1000)
    monkeypatch.setattr(consoles, "_CHUNK", 100)
    qemu(b"flood\n" * 5_000)
    assert 1000 <= len(all_of(console)) < 1100


def test_endless_line_is_cut() -> None:
    told = lines_of(*[b"x" * 1000] * 100)
    assert len(told) > 10
    assert sum(len(text) for _, text in told) <= 100_000
    assert max(len(text) for _, text in told) <= consoles._LONGEST_LINE


@pytest.mark.parametrize(
    "flood",
    [b"\r" * 65536, b"\x1b[" * 32768, b"\x1b]" * 32768, b"\x1b[0" + b";0" * 32000, b"\xff" * 65536],
)
def test_hostile_bytes_cost_little_time(flood: bytes) -> None:
    begun = time.process_time()
    lines_of(flood, flood, b"\n")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"one\ntwo\r\nthree\r\r\n", [(1, "one"), (2, "two"), (3, "three")]),
        (
            b"[  0 %]\r[ 50 %]\r[100 %]\r\nnext\n",
            [(1, "[  0 %]"), (1, "[ 50 %]"), (1, "[100 %]"), (2, "next")],
        ),
        (b"\n\nx", [(1, ""), (2, ""), (3, "x")]),
        (b"\x1b[0;32m  OK  \x1b[0m Reached\n", [(1, "  OK   Reached")]),
        (b"\x1b[38:5:185mStarting\x1b[0m\n", [(1, "Starting")]),
        (b"\x1b]0;title\x07\x1b[2J\x1b[01;01Hboot\x1bM\n", [(1, "boot")]),
        (b"a\tb\x00\x07c\n", [(1, "a\tbc")]),
        (b"caf\xc3\xa9 \xff\n", [(1, "caf\u00e9 \ufffd")]),
    ],
)
def test_bytes_become_lines_without_ends_and_colours(printed: bytes, lines: list[tuple[int, str]]) -> None:
    assert lines_of(printed) == lines


# What consoles are made of, so that line ends and colours come up often.
_PRINTED = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\r\r\n", b"\x1b[0m", b"[ 50 %]", b"a: ", b"\xc3", b"\xa9", b"x"]
    )
).map(b"".join)


@given(st.lists(_PRINTED))
def test_lines_are_the_same_however_the_bytes_are_chunked(chunks: list[bytes]) -> None:
    assert lines_of(*chunks) == lines_of(b"".join(chunks))


@given(st.binary())
def test_no_byte_is_too_strange(printed: bytes) -> None:
    assert all("\x1b" not in text and "\n" not in text for _, text in lines_of(printed))
