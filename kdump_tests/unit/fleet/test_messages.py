"""Lines arrive whole."""

import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from kdump_tests.fleet.messages import LONGEST, MESSAGES, Messages


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """The reading end; the writing one is in the environment, and closed at the end."""
    reads, writes = os.pipe()
    os.set_inheritable(writes, True)
    monkeypatch.setenv(MESSAGES, str(writes))
    with os.fdopen(reads, "rb") as reader:
        yield reader
        os.close(writes)


def given() -> Messages:
    messages = Messages.from_environment()
    assert messages is not None
    return messages


def test_a_process_that_was_given_no_pipe_has_no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MESSAGES, raising=False)
    assert Messages.from_environment() is None


def test_a_message_is_a_line(pipe: BinaryIO) -> None:
    messages = given()
    messages.send("one")
    messages.send("zwölf \udcff")
    assert pipe.readline() == b"one\n"
    assert pipe.readline() == "zwölf ?\n".encode()


def test_the_pipe_is_not_for_children(pipe: BinaryIO) -> None:
    number = int(os.environ[MESSAGES])
    given()
    assert not os.get_inheritable(number)
    assert MESSAGES not in os.environ


@pytest.mark.parametrize("text", ["a\nb", "x" * LONGEST])
def test_what_is_no_line_or_too_long_is_refused(pipe: BinaryIO, text: str) -> None:
    with pytest.raises(AssertionError):
        given().send(text)


def test_long_lines_of_many_threads_arrive_whole(pipe: BinaryIO) -> None:
    messages = given()
    texts = {letter * 200_000 for letter in "abcd"}
    threads = [threading.Thread(target=messages.send, args=(text,), daemon=True) for text in texts]
    for thread in threads:
        thread.start()
    assert {pipe.readline().decode().strip() for _ in threads} == texts
    for thread in threads:
        thread.join(20)


def test_a_line_that_was_cut_off_does_not_spoil_the_next(
    pipe: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, write = given(), os.write

    def interrupted(descriptor: int, data: memoryview) -> int:
        write(descriptor, data[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            messages.send("first")
    messages.send("second")
    assert pipe.readline() == b"fi\x18\n"
    assert pipe.readline() == b"second\n"
