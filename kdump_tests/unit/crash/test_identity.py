"""A good dump of another crash, in this one's place: the tests of the suite that must not pass with it."""

import secrets
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.crash.planted import Planted
from kdump_tests.deadline import Deadline
from kdump_tests.unit.vmcore.crashed_machine import FIRST, machine_with_users
from kdump_tests.unit.vmcore.dumps import PAGE, RELEASE
from kdump_tests.unit.vmcore.rings import SyntheticRing
from kdump_tests.verification import test_dump as suite
from kdump_tests.vmcore.inspection import inspect
from kdump_tests.vmcore.user_data import find_in_user_data

BUILD_ID, CRASH_TIME = "00c0ffee", 1_700_000_000  # of the built dumps


@pytest.fixture
def planted() -> Planted:
    return Planted(f"kdump-verify nonce {secrets.token_hex(16)}", secrets.token_hex(32).encode(), 300, 42.5)


def crash_with(
    planted: Planted,
    dump: Path,
    *,
    release: str = RELEASE,
    build_id: str = BUILD_ID,
    guest_time: int = CRASH_TIME - 1,
) -> Crash:
    """A crash of which just this dump was found."""
    core = inspect(dump)
    until = Deadline.after(60, "it is looked for")
    found = SimpleNamespace(vmcore=core, planted=find_in_user_data(core, planted.pattern, until))
    kernel = SimpleNamespace(release=release, build_id=build_id)
    crash = SimpleNamespace(
        dump=found, kernel=kernel, planted=planted, nonce=planted.nonce,
        moment=(guest_time, guest_time + 21.0),
    )  # fmt: skip
    return cast(Crash, crash)


def dump_of(folder: Path, planted: Planted, *, dump_level: int = 16, leaks_users: bool = False) -> Path:
    """What the crash leaves in which all this was planted."""
    ring = SyntheticRing()
    ring.say(planted.nonce.encode(), at=planted.logged_at)
    users = {FIRST + 26: planted.pattern.rjust(PAGE - 9, b".").ljust(PAGE, b".")}
    path = folder / "vmcore"
    path.write_bytes(machine_with_users(ring, users, dump_level=dump_level, leaks_users=leaks_users).image)
    return path


OF_THIS_CRASH: list[Callable[[Crash], None]] = [
    suite.test_kernel_log_is_of_the_time_when_the_nonce_was_written,
    suite.test_vmcore_holds_what_a_process_kept_in_memory_if_its_level_does,
]
OF_THIS_MOMENT: list[Callable[[Crash], None]] = [suite.test_vmcore_is_of_the_moment_of_the_panic]
OF_THIS_KERNEL: list[Callable[[Crash], None]] = [suite.test_vmcore_is_of_the_kernel_that_ran]
by_name = pytest.mark.parametrize


@by_name(
    "test",
    [*OF_THIS_CRASH, *OF_THIS_MOMENT, *OF_THIS_KERNEL, suite.test_vmcore_keeps_what_its_dump_level_keeps],
)
def test_the_dump_of_this_crash_passes(
    tmp_path: Path, planted: Planted, test: Callable[[Crash], None]
) -> None:
    test(crash_with(planted, dump_of(tmp_path, planted)))


@by_name("test", OF_THIS_CRASH)
def test_the_dump_of_another_crash_of_the_same_kernel_fails(
    tmp_path: Path, planted: Planted, test: Callable[[Crash], None]
) -> None:
    of_another = Planted("kdump-verify nonce of another", b"what another kept in its memory", 300, 42.5)
    with pytest.raises(AssertionError):
        test(crash_with(planted, dump_of(tmp_path, of_another)))


@by_name("seconds", [-86400, 86400])
@by_name("test", OF_THIS_MOMENT)
def test_the_dump_of_another_day_fails(
    tmp_path: Path, planted: Planted, test: Callable[[Crash], None], seconds: int
) -> None:
    with pytest.raises(AssertionError):
        test(crash_with(planted, dump_of(tmp_path, planted), guest_time=CRASH_TIME + seconds))


def test_a_panic_before_the_question_for_the_time_fails(tmp_path: Path, planted: Planted) -> None:
    with pytest.raises(AssertionError):
        suite.test_vmcore_is_of_the_moment_of_the_panic(
            crash_with(planted, dump_of(tmp_path, planted), guest_time=CRASH_TIME + 1)
        )


@by_name(("release", "build_id"), [("6.1.0-other", BUILD_ID), (RELEASE, "0bad")])
@by_name("test", OF_THIS_KERNEL)
def test_the_dump_of_another_kernel_fails(
    tmp_path: Path, planted: Planted, test: Callable[[Crash], None], release: str, build_id: str
) -> None:
    with pytest.raises(AssertionError):
        test(crash_with(planted, dump_of(tmp_path, planted), release=release, build_id=build_id))


def test_a_nonce_written_at_another_time_fails(tmp_path: Path, planted: Planted) -> None:
    path = dump_of(tmp_path, Planted(planted.nonce, planted.pattern, planted.holder, 4000.0))
    with pytest.raises(AssertionError):
        suite.test_kernel_log_is_of_the_time_when_the_nonce_was_written(crash_with(planted, path))


def test_a_dump_that_lost_pages_of_the_kernels_own_fails(tmp_path: Path, planted: Planted) -> None:
    path = tmp_path / "vmcore"
    path.write_bytes(machine_with_users(SyntheticRing(), {}, dump_level=31, loses_slab=True).image)
    with pytest.raises(AssertionError, match="this makedumpfile is older than the kernel"):
        suite.test_vmcore_keeps_what_its_dump_level_keeps(crash_with(planted, path))


def test_what_a_level_leaves_out_is_not_missed(tmp_path: Path, planted: Planted) -> None:
    path = dump_of(tmp_path, planted, dump_level=31)
    suite.test_vmcore_holds_what_a_process_kept_in_memory_if_its_level_does(crash_with(planted, path))


def test_user_data_where_the_level_leaves_it_out_fails(tmp_path: Path, planted: Planted) -> None:
    path = dump_of(tmp_path, planted, dump_level=31, leaks_users=True)
    with pytest.raises(AssertionError, match="is in the user data of the vmcore"):
        suite.test_vmcore_holds_what_a_process_kept_in_memory_if_its_level_does(crash_with(planted, path))
