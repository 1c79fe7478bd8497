"""Signals: the first ends the session in order, the second at once and with nothing left."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.session.signals import Interruption, orderly

every_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
PATIENT_USER = """
import signal, sys
from kdump_tests.errors import LabError
from kdump_tests.session.signals import orderly

def sweep():
    print("swept", flush=True)
    raise {error}

with orderly(sweep):
    try:
        signal.raise_signal({number})
    except KeyboardInterrupt as interruption:
        print("interrupted by", interruption, flush=True)
        signal.raise_signal({number})
    finally:
        print("cleaned up", flush=True)
"""


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """One whose end is of interest, also where these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def never() -> None:
    pytest.fail("swept")


def impatient(number: int, error: str = "OSError") -> subprocess.CompletedProcess[str]:
    script = PATIENT_USER.format(number=int(number), error=error)
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@every_signal
def test_the_first_signal_is_an_interruption_that_bears_its_name(number: signal.Signals) -> None:
    with orderly(never), pytest.raises(Interruption, match=number.name):
        signal.raise_signal(number)


def test_an_interruption_is_what_pytest_takes_for_one() -> None:
    assert issubclass(Interruption, KeyboardInterrupt)


@every_signal
def test_the_second_signal_sweeps_and_exits_at_once(number: signal.Signals) -> None:
    ended = impatient(number)
    assert ended.stdout.splitlines() == [f"interrupted by {number.name}", "swept"]
    assert ended.returncode == 128 + number


def test_a_sweep_that_fails_does_not_keep_the_process_alive() -> None:
    assert impatient(signal.SIGTERM, "LabError('libvirt is gone')").returncode == 128 + signal.SIGTERM


@every_signal
def test_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with orderly(never):
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_a_terminal_that_goes_away_ends_nothing_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with orderly(never) as received:
        signal.raise_signal(signal.SIGHUP)
    assert received == []


def test_handlers_are_given_back_after_an_interruption() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interruption), orderly(never):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
