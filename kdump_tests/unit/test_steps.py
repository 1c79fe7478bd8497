"""Steps are told to whoever listens, as they begin and as they end."""

import pytest

from kdump_tests.session.progress import Progress
from kdump_tests.steps import Step, listening, step


def test_a_step_is_told_at_its_begin_and_at_its_end() -> None:
    heard: list[Step] = []
    with listening(heard.append), step("debian-13-2G", "booting"):
        (begun,) = heard
        assert begun.seconds is None
    _, ended = heard
    assert (ended.subject, ended.what, ended.at) == ("debian-13-2G", "booting", begun.at)
    assert ended.seconds is not None
    assert not ended.failed


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_step_that_breaks_has_failed_and_breaks(error: type[BaseException]) -> None:
    heard: list[Step] = []
    with listening(heard.append), pytest.raises(error), step("image", "building"):
        raise error
    assert [told.failed for told in heard] == [False, True]


def test_every_listener_hears_until_it_is_gone() -> None:
    first: list[Step] = []
    second: list[Step] = []
    with listening(first.append):
        with listening(second.append), step("a", "b"):
            pass
        with step("c", "d"):
            pass
    assert [told.subject for told in first] == ["a", "a", "c", "c"]
    assert [told.subject for told in second] == ["a", "a"]


def test_progress_is_a_line_for_each_begin_and_each_end() -> None:
    lines: list[str] = []
    progress = Progress(lines.append)
    progress(Step("debian-13-2G", "booting"))
    progress(Step("debian-13-2G", "booting", seconds=14.21))
    progress(Step("debian-13-2G", "crashing", seconds=2.0, failed=True))
    assert [line.partition(" s  ")[2] for line in lines] == [
        "debian-13-2G: booting …",
        "debian-13-2G: booting: done in 14.2 s",
        "debian-13-2G: crashing: FAILED after 2.0 s",
    ]
