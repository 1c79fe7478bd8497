"""One run of the suite: its folder, its keys, its life; and the end of runs that died.

A run's folder holds all that a guest needs while it lives: overlays, sockets, libvirt's state. The lock
in it is held for as long as the process lives, by the kernel's doing; so a folder whose lock is free
belongs to a run that was killed, and whatever still runs out of that folder is its left-over.
"""

import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import psutil

from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.cache import remove_tree
from kdump_tests.guest.keys import KeyPair

_LOCK = "alive.lock"
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
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(victims, timeout=_GRACE_SECONDS)
    if alive:
        raise LabError(f"processes of {folder} survive SIGKILL", pids=[process.pid for process in alive])
    if folder.exists():
        remove_tree(folder)
    return named


def dead_runs(base: Path) -> Iterator[tuple[Path, str]]:
    """The folders of runs whose process is gone, with the libvirt URI each had."""
    for folder in sorted(base.iterdir()) if base.is_dir() else ():
        if _is_dead(folder):
            with suppress(FileNotFoundError):
                yield folder, _connect_of(folder)


def _is_dead(folder: Path) -> bool:
    """Whether nobody holds the folder's lock. A folder that is a moment old may not have its lock yet."""
    try:
        if not (folder / _LOCK).exists():
            return time.time() - folder.stat().st_mtime > _GRACE_SECONDS
        with filelock.FileLock(folder / _LOCK).acquire(blocking=False):
            return True
    except (filelock.Timeout, FileNotFoundError):
        return False


def _connect_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / _RECORD).read_text())["connect"])
    except (FileNotFoundError, ValueError, KeyError):
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
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = base.lstat()
    # /var/tmp is everybody's: a folder somebody else laid there under our name is not ours to trust.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise BadInput(
            f"{base} is not a folder that only this user can write to",
            way_out="remove it, or set KDUMP_VERIFY_RUNS to another",
        )
