"""One run of the suite: its folder, its keys, its life; and the end of runs that died.

A run's folder holds all that a guest needs while it lives: overlays, sockets, libvirt's state. The lock
in it is held for as long as the process lives, by the kernel's doing; so a folder whose lock is free
belongs to a run that was killed, and whatever still runs out of that folder is its left-over.
"""

import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import psutil

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.cache import remove_tree
from kdump_tests.guest.keys import KeyPair

_LOCK = "alive.lock"
_ID = re.compile(r"[0-9a-f]{8}")
_RECORD = "run.json"
# libvirt puts sockets 50 characters below a run's folder; the kernel takes 107 (unix(7)).
_LONGEST_BASE = 40
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Run:
    """A run that is alive: ours."""

    id: str
    folder: Path
    guest_key: KeyPair  # proves us to guests
    host_key: KeyPair  # proves guests to us


def default_base() -> Path:
    """``$KDUMP_VERIFY_RUNS``, else a folder of this user's: on disk, and with a short path."""
    chosen = os.environ.get("KDUMP_VERIFY_RUNS")
    return Path(chosen).absolute() if chosen else Path(f"/var/tmp/kdump-verify-{os.geteuid()}")  # noqa: S108


@contextmanager
def new_run(base: Path, connect: str) -> Iterator[Run]:
    """Begin a run; at its end, however it ends, nothing of it is left.

    Raises:
        BadInput: ``base`` cannot hold sockets, or belongs to somebody else.
    """
    _require_private(base)
    run_id = secrets.token_hex(4)
    folder = base / run_id
    folder.mkdir(mode=0o700)
    lock = filelock.FileLock(folder / _LOCK)
    lock.acquire(blocking=False)
    (folder / _RECORD).write_text(json.dumps({"connect": connect, "pid": os.getpid()}))
    try:
        yield Run(run_id, folder, KeyPair.generate(), KeyPair.generate())
    finally:
        end(folder)
        lock.release()


def end(folder: Path) -> tuple[str, ...]:
    """Kill what runs out of a run's folder, remove the folder, and name what was killed.

    Needs nothing but the process table, so it also serves a signal handler and the run after a SIGKILL.

    Raises:
        LabError: something could not be killed or removed.
    """
    victims = tuple(_processes_of(folder))
    named = tuple(f"{process.pid} {process.name()}" for process in victims)
    for process in victims:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
    until = Deadline.after(_GRACE_SECONDS, f"the processes of {folder} are dead")
    while (alive := [process for process in victims if not _is_dead(process)]) and not until.expired:
        time.sleep(0.01)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise LabError(f"processes of {folder} survive SIGKILL", pids=pids)
    if folder.exists():
        # libvirt's own thread may be removing what it kept of a domain that just ended.
        wait_until(lambda: remove_tree(folder), until, retry_on=(OSError, LabError))
    return named


def dead_runs(base: Path) -> Iterator[tuple[Path, str]]:
    """The folders of runs whose process is gone, with the libvirt URI each had.

    While the caller looks at one its lock is held, so that no other reaps it too.

    Raises:
        BadInput: ``base`` belongs to somebody else, whose word on what to kill and remove counts nothing.
    """
    if not base.exists():
        return
    _require_private(base)
    # By name: a base that the user chose may hold things of the user's.
    for folder in sorted(path for path in base.iterdir() if _ID.fullmatch(path.name)):
        with _claimed(folder) as dead:
            if dead:
                yield folder, _connect_of(folder)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether nobody held the folder's lock; if so, it is held meanwhile."""
    lock = filelock.FileLock(folder / _LOCK)
    try:
        # A folder that is a moment old may not have its lock yet.
        fresh = not (folder / _LOCK).exists() and time.time() - folder.stat().st_mtime < _GRACE_SECONDS
        if not fresh:
            lock.acquire(blocking=False)
    except (filelock.Timeout, OSError):
        fresh = True  # held, or gone meanwhile
    try:
        yield not fresh
    finally:
        lock.release()


def _is_dead(process: psutil.Process) -> bool:
    """Whether it runs no more. A zombie does not: its parent, perhaps a container's init, may never look."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _connect_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / _RECORD).read_text())["connect"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # killed before it wrote its record, so before any guest


def _processes_of(folder: Path) -> Iterator[psutil.Process]:
    """QEMU processes with the run's folder on their command line: nothing else lives there."""
    inside = f"{folder}/"
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if command and "qemu" in Path(command[0]).name and any(inside in word for word in command[1:]):
            yield process


def _require_private(base: Path) -> None:
    if len(str(base)) > _LONGEST_BASE:
        raise BadInput(
            f"the folder for runs has too long a path: {base}",
            reason=f"libvirt's sockets below it leave {_LONGEST_BASE} characters (unix(7))",
            way_out="set KDUMP_VERIFY_RUNS to a shorter one, on a disk with room for guests' overlays",
        )
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{base} cannot hold runs", reason=error) from None
    found = base.lstat()
    # /var/tmp is everybody's: a folder somebody else laid there under our name is not ours to trust.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise BadInput(
            f"{base} is not a folder that only this user can write to",
            way_out="remove it, or set KDUMP_VERIFY_RUNS to another",
        )
