"""Waiting ends: with what was waited for, or when the deadline passes."""

from collections.abc import Callable

import pytest

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import DeadlineExpired


def attempt_that_fails(times: int, error: type[Exception] = OSError) -> Callable[[], str]:
    failures = iter([error(f"attempt {number}") for number in range(times)])

    def attempt() -> str:
        for failure in failures:
            raise failure
        return "there"

    return attempt


def test_a_deadline_counts_down_and_ends_at_zero() -> None:
    ahead, passed = Deadline.after(60, "it comes"), Deadline.after(-1, "it came")
    assert 59 < ahead.left <= 60
    assert not ahead.expired
    assert passed.left == 0
    assert passed.expired


def test_the_error_says_what_was_waited_for() -> None:
    error = Deadline.after(0, "the boot ends").error(console="x.log")
    assert isinstance(error, DeadlineExpired)
    assert str(error) == "not in time: the boot ends\n  console   x.log"


def test_the_first_success_is_the_result() -> None:
    waited = wait_until(attempt_that_fails(3), Deadline.after(10, "it is there"), retry_on=OSError, pause=0)
    assert waited == "there"


def test_the_last_failure_is_raised_as_it_is_when_time_is_up() -> None:
    with pytest.raises(OSError, match="attempt"):
        wait_until(attempt_that_fails(1000), Deadline.after(0.05, "it is there"), retry_on=OSError)


def test_one_attempt_is_made_even_when_time_is_up() -> None:
    assert wait_until(attempt_that_fails(0), Deadline.after(-1, "it is there"), retry_on=OSError) == "there"


def test_another_error_is_not_waited_out() -> None:
    with pytest.raises(KeyError):
        wait_until(attempt_that_fails(2, KeyError), Deadline.after(10, "it is there"), retry_on=OSError)


def test_waiting_ends_in_time_even_if_the_pause_would_not() -> None:
    until = Deadline.after(0.2, "it is there")
    with pytest.raises(OSError, match="attempt 0"):
        wait_until(attempt_that_fails(10), until, retry_on=OSError, pause=60)
