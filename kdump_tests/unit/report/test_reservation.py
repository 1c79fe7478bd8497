"""Who says how much memory was kept aside, and whether they say the same."""

from dataclasses import replace

import pytest

from kdump_tests.report.facts import Reservation
from kdump_tests.report.run import Run
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.report.stories import BOOTED, GUEST, PREDICTION, PROBED, RESERVATION, TIERS

SILENT = Reservation(GUEST, 2 * GIB, None, None, None, None)


def said_by(**witnesses: int) -> Reservation:
    return replace(SILENT, **{name: size * MIB for name, size in witnesses.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [
        said_by(expected=192, sysfs=192, iomem=192, boot_log=192, probe=192),
        said_by(expected=192, probe=192),
        said_by(sysfs=192, probe=192),
        said_by(expected=0, sysfs=0),
        replace(said_by(expected=192, sysfs=256, iomem=256, probe=256), at_least=True),
        replace(said_by(expected=192, probe=192), at_least=True),
        replace(said_by(sysfs=256, iomem=256), at_least=True),
    ],
)
def test_all_say_the_same(told: Reservation) -> None:
    assert told.agree is True


@pytest.mark.parametrize(
    "told",
    [
        said_by(expected=192, sysfs=192, iomem=192, probe=256),
        said_by(expected=192, probe=256),
        said_by(sysfs=192, iomem=256),
        said_by(expected=192, sysfs=0),
        replace(said_by(expected=192, sysfs=128, iomem=128), at_least=True),
        replace(said_by(expected=192, sysfs=256, iomem=256, probe=512), at_least=True),
    ],
)
def test_somebody_says_something_else(told: Reservation) -> None:
    assert told.agree is False


@pytest.mark.parametrize("told", [SILENT, said_by(expected=192), said_by(sysfs=192), said_by(probe=192)])
def test_one_alone_agrees_with_nobody(told: Reservation) -> None:
    assert told.agree is None


def test_who_differs_is_told_apart() -> None:
    more = replace(said_by(expected=192, sysfs=256, iomem=512, boot_log=512), at_least=True)
    assert [more.differs(size * MIB) for size in (512, 256, 128)] == [False, True, True]


def test_a_tier_is_probed_only_when_no_guest_had_a_say() -> None:
    assert PROBED.probed_only
    assert not replace(PROBED, boot_log=768 * MIB).probed_only
    assert not RESERVATION.probed_only
    assert not SILENT.probed_only


def test_a_guest_that_booted_is_not_probed_only() -> None:
    tiers = Run.of((*TIERS, replace(BOOTED, guest=PROBED.guest)))
    assert [guest.probed_only for guest in Run.of(TIERS).guests] == [False, True]
    assert [guest.probed_only for guest in tiers.guests] == [False, False]


def test_all_tiers_stand_by_memory_and_once() -> None:
    assert Run.of((PROBED, RESERVATION, *TIERS)).reservations == (RESERVATION, PROBED)


def test_the_last_prediction_counts() -> None:
    better = replace(PREDICTION, because="policy")
    assert Run.of((PREDICTION, better)).prediction == better
    assert Run.of(()).prediction is None
