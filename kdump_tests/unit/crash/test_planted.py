"""What is planted lies in one piece in the memory of its holder, and nowhere on the way there."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdump_tests.crash.planted import KEEP_IN_MEMORY

HALVES = (b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210")


@contextmanager
def holder(shell: str) -> Iterator[int]:
    """The process that keeps the halves, as the guest's shell leaves it."""
    sent = b"".join(half + b"\n" for half in HALVES)
    done = subprocess.run(
        [shell, "-e", "-c", KEEP_IN_MEMORY], input=sent, stdout=subprocess.PIPE, check=True
    )
    pid = int(done.stdout)
    try:
        yield pid
    finally:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)


def memory_of(pid: int) -> bytes:
    """What it has that it may write to and that is of no file."""
    found = b""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights, _, _, inode, *name = line.split()
            if rights.startswith("rw") and inode == "0" and name != ["[vvar]"]:
                start, end = (int(address, 16) for address in where.split("-"))
                memory.seek(start)
                found += memory.read(end - start)
    return found


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_holder_keeps_the_halves_in_one_piece(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"this host has no {shell}")
    with holder(shell) as pid:
        assert b"".join(HALVES) in memory_of(pid)
        for told in ("cmdline", "environ"):
            assert HALVES[0] not in Path(f"/proc/{pid}/{told}").read_bytes()
