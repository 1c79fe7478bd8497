"""The checks of dump targets fail where they must."""

from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pytest

from kdump_tests.errors import NotArmed
from kdump_tests.guest.shell import Output
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.dump_disk import Mount
from kdump_tests.stacks.dump_target import FileSystem, Partition
from kdump_tests.stacks.stack import DumpDirectory
from kdump_tests.verification import test_configuration as configuration
from kdump_tests.verification import test_dump_disk as dump_disk
from kdump_tests.verification import test_dump_server as dump_server
from kdump_tests.verification import test_number_of_dumps as number_of_dumps
from kdump_tests.vmcore.shape import Format, Memory

SSH = Debian().configured({"SSH": "kdump@dump-server"})


def crash(directory: str = "", **vmcore: object) -> Any:
    return Mock(dump=Mock(vmcore=Mock(**vmcore), directory=DumpDirectory(directory, 0o755, "root", ())))


@pytest.mark.parametrize(
    ("level", "zeros", "left_out", "good"),
    [
        (0, 0, 0, True),
        (0, 0, 1, False),
        (1, 90, 0, True),
        (1, 90, 1, False),
        (1, None, 90, True),  # ELF tells no zeros apart
        (17, 90, 500, True),
        (17, 90, 0, True),  # makedumpfile 1.7.6 knows no free page of Linux 6.12; its header has the level
        (17, None, 0, False),
        (31, 90, 500, True),
        (31, None, 0, False),
    ],
)
def test_pages_left_out_are_held_against_the_level(
    level: int, zeros: int | None, left_out: int, good: bool
) -> None:
    memory = Memory(4096, covered=1000, stored=400, zeros=zeros, left_out=left_out)
    with nullcontext() if good else pytest.raises(AssertionError):
        configuration.test_dump_holds_all_pages_that_its_level_keeps(
            Makedumpfile(levels=(level,)),
            crash(memory=memory, dump_level=None if zeros is None else level),
        )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Makedumpfile(levels=(31,)), (Format.KDUMP_COMPRESSED, (), 1)),
        (Makedumpfile(), (Format.KDUMP_COMPRESSED, (), 31)),
        (Makedumpfile(elf=True), (Format.KDUMP_COMPRESSED, (), 0)),
        (Makedumpfile(), (Format.ELF, (), None)),
        (Makedumpfile(), (Format.KDUMP_COMPRESSED, ("zlib",), 0)),
    ],
)
def test_another_dump_than_was_asked_for_is_found_out(
    asked: Makedumpfile, found: tuple[Format, tuple[str, ...], int | None]
) -> None:
    form, compression, level = found
    with pytest.raises(AssertionError):
        configuration.test_dump_is_filtered_and_packed_as_was_asked(
            asked, crash(format=form, compression=compression, dump_level=level)
        )


def test_a_dump_of_another_sender_is_found_out() -> None:
    server: Any = Mock(sender="192.0.2.7")
    dump_server.test_dump_bears_the_name_of_its_sender(crash("/d/192.0.2.7-202611231034"), server, SSH)
    with pytest.raises(AssertionError):
        dump_server.test_dump_bears_the_name_of_its_sender(crash("/d/127.0.0.1-202611231034"), server, SSH)


def test_a_guest_that_is_not_let_in_is_told_with_the_words_of_the_refusal() -> None:
    server: Any = Mock(
        let_in=Output("ssh kdump@dump-server true", 255, "", "Permission denied (publickey).\n")
    )
    with pytest.raises(NotArmed, match=r"Permission denied \(publickey\)"):
        dump_server.test_guest_is_let_in_before_anything_crashes(Mock(), server)


def test_a_dump_on_another_file_system_is_found_out() -> None:
    tier: Any = Mock()
    mount = Mount(Partition(FileSystem.XFS, "/dev/vdb"), "/mnt/kdump", "/mnt/kdump/a")
    tier.guest.shell.run.return_value = "/mnt/kdump xfs\n"
    dump_disk.test_dump_lies_on_the_partition_asked_for(tier, crash("/mnt/kdump/a/1"), mount)
    tier.guest.shell.run.return_value = "/          ext4\n"
    with pytest.raises(AssertionError):
        dump_disk.test_dump_lies_on_the_partition_asked_for(tier, crash("/mnt/kdump/a/1"), mount)


@pytest.mark.parametrize(
    ("left", "good"),
    [(["/c/2", "/c/3"], True), (["/c/1", "/c/2", "/c/3"], False), (["/c/1", "/c/2"], False)],
)
def test_as_many_dumps_are_kept_as_was_asked_for_and_the_new_one_is_among_them(
    left: list[str], *, good: bool
) -> None:
    stack = Mock(keeps=2)
    stack.dumps.return_value = tuple(DumpDirectory(path, 0o755, "root", ()) for path in left)
    tier: Any = Mock(stack=stack, dump_server=None)
    with nullcontext() if good else pytest.raises(AssertionError):
        number_of_dumps.test_no_more_dumps_are_kept_than_was_asked_for(crash("/c/3"), tier)
