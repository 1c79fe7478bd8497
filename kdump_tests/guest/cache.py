"""What is worth keeping between runs: built images, answers about this host.

Safe with several processes and with a kill at any moment: work happens in a staging folder beside the
goal, under a lock that the kernel releases when its holder dies, and is published by one rename.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import BadInput, LabError, NoSpace
from kdump_tests.sizes import GIB
from kdump_tests.steps import step

_STAGING = ".staging"


def default_cache() -> Path:
    """``$KDUMP_VERIFY_CACHE``, else the place the XDG base directory specification names."""
    chosen = os.environ.get("KDUMP_VERIFY_CACHE")
    return Path(chosen).absolute() if chosen else platformdirs.user_cache_path("kdump-verify")


@contextmanager
def locked(path: Path, until: Deadline) -> Iterator[None]:
    """Hold the lock at ``path``; says so when it has to wait for another process.

    Raises:
        DeadlineExpired: the other process held it too long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        way_out = "point KDUMP_VERIFY_CACHE to a folder that can be written to"
        raise BadInput(f"{path.parent} cannot be made", reason=error, way_out=way_out) from None
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if until.expired:
            raise until.error(lock=path) from None
        with step(path.stem, "waiting for another process"):
            try:
                lock.acquire(timeout=until.left)
            except filelock.Timeout:
                raise until.error(lock=path, way_out="end the process that holds it, or wait") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def shared(path: Path, until: Deadline) -> Iterator[None]:
    """Hold the lock at ``path`` together with others who only look; who changes things is kept out.

    Raises:
        DeadlineExpired: somebody changed things for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # filelock's locks are flock(2)'s too, but only ever exclusive.
    handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            wait_until(
                lambda: fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB), until, retry_on=BlockingIOError
            )
        except BlockingIOError:
            raise until.error(lock=path) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A folder to work in, gone at the end unless published. Call under the lock that guards ``parent``."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / _STAGING
    remove_tree(folder)  # left by a process that was killed while it held the lock
    folder.mkdir()
    try:
        yield folder
    finally:
        remove_tree(folder)


def publish(folder: Path, goal: Path) -> None:
    """Make a staging folder the finished thing: all of it on disk first, then visible in one rename."""
    for file in folder.iterdir():
        _fsync(file)
    _fsync(folder)
    folder.rename(goal)
    _fsync(goal.parent)


def abandoned(root: Path) -> tuple[tuple[Path, Path], ...]:
    """Staging folders of images, states and debug information, each with the lock that guards it.

    Only those under a free lock are abandoned.
    """
    kinds = {"image": "images", "state": "states", "debuginfo": "debuginfo"}
    return tuple(
        (folder, root / "locks" / f"{kind} {folder.parent.name}.lock")
        for kind, place in kinds.items()
        for folder in root.glob(f"{place}/*/{_STAGING}")
    )


def remove_tree(folder: Path) -> None:
    """Remove a folder, but never what is mounted in it: a killed bootstrap may have left /dev there.

    Raises:
        LabError: something is mounted there, or may not be removed.
    """
    if not folder.exists():
        return
    try:
        if mounted := _mount_in(folder):
            raise LabError(
                f"{mounted} is a mount point, so {folder} is not removed", way_out=f"umount {mounted}"
            )
        shutil.rmtree(folder)
    except OSError as error:
        raise LabError(f"{folder} cannot be removed", reason=error) from None


def require_space(folder: Path, need: int, what: str) -> None:
    """Fail before the work rather than amid it.

    Raises:
        NoSpace: the file system of ``folder`` has fewer than ``need`` bytes free.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < need:
        raise NoSpace(
            f"not enough disk space for {what}",
            folder=folder,
            free=f"{free / GIB:.1f} GiB",
            needed=f"{need / GIB:.1f} GiB",
            way_out="free some, or point KDUMP_VERIFY_CACHE or KDUMP_VERIFY_RUNS to a larger disk",
        )


def _mount_in(folder: Path) -> Path | None:
    device = folder.parent.stat().st_dev
    below = (Path(path, name) for path, names, _ in os.walk(folder) for name in names)
    for path in (folder, *below):
        if not path.is_symlink() and (path.stat().st_dev != device or path.is_mount()):
            return path
    return None


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
