"""Saved states: an armed guest frozen once, memory and disks, for every later guest to be forked from.

A state lies in ``states/KEY/state`` of the cache. The key is a digest of everything that made it, so a state
is found only by who would make the very same one. Files: ``memory`` (libvirt's save), a qcow2 for every
disk, the ``console.log`` of the boot, and ``state.json``, written last, with the size of each of them.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, LabError
from kdump_tests.guest.cache import locked, publish, remove_tree, shared, staging
from kdump_tests.guest.keys import KeyPair
from kdump_tests.sizes import GIB, format_size, parse_size

_RECORD = "state.json"
# A guest of 1 GiB leaves 230 MiB, one of 4 GiB 300.
_USUAL_LIMIT = 8 * GIB


@dataclass(frozen=True)
class SavedState:
    """A frozen guest. ``name`` is its domain's, and stays; the keys are those of the run that made it."""

    folder: Path
    name: str
    made_at: float  # seconds since the epoch
    boot_seconds: float  # what the cold boot took
    guest_key: KeyPair
    host_key: KeyPair

    @property
    def memory(self) -> Path:
        """Libvirt's save of it."""
        return self.folder / "memory"

    @property
    def console(self) -> Path:
        """What it had printed when it was frozen."""
        return self.folder / "console.log"

    def disk(self, name: str) -> Path:
        """A frozen disk, by the file name it had in the guest's home."""
        return self.folder / name


def digest(made_of: Mapping[str, object]) -> str:
    """The key of a state, out of everything that made it."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:24]


def chosen_limit() -> int:
    """``$KDUMP_VERIFY_STATES_SIZE`` in bytes, else 8 GiB: what saved states may take of the disk together.

    Raises:
        BadInput: it is not a size.
    """
    chosen = os.environ.get("KDUMP_VERIFY_STATES_SIZE")
    if not chosen:
        return _USUAL_LIMIT
    try:
        return parse_size(chosen)
    except BadInput as error:
        raise BadInput(f"KDUMP_VERIFY_STATES_SIZE: {error.message}", **error.facts) from None


@dataclass(frozen=True)
class SavedStates:
    """All states of one cache, within ``limit`` bytes; the least recently used leaves first."""

    cache: Path
    limit: int

    @contextmanager
    def making(self, key: str, until: Deadline) -> Iterator[None]:
        """The right to make a state: one has it, all others wait and then find what was made."""
        with locked(self._lock(key), until):
            yield

    @contextmanager
    def using(self, key: str, until: Deadline) -> Iterator[SavedState | None]:
        """The state of that key, None if there is none or it is damaged; it is not removed meanwhile."""
        with shared(self._lock(key), until):
            yield self.find(key)

    def find(self, key: str) -> SavedState | None:
        """The state of that key, None if there is none or one of its files has not its size any more."""
        folder = self._folder(key)
        try:
            told = json.loads((folder / _RECORD).read_text())
            if any((folder / name).stat().st_size != size for name, size in told["sizes"].items()):
                return None
            return SavedState(
                folder,
                told["name"],
                told["made_at"],
                told["boot_seconds"],
                KeyPair(**told["guest_key"]),
                KeyPair(**told["host_key"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_damaged(self, key: str) -> bool:
        """Whether there is something under that key that is no state any more."""
        return self._folder(key).exists() and self.find(key) is None

    @contextmanager
    def new(self, key: str) -> Iterator[Path]:
        """A folder for the files of a new state; gone at the end unless kept. Call while ``making``."""
        parent = self._folder(key).parent
        remove_tree(self._folder(key))  # damaged, or nobody would make it anew
        with staging(parent) as folder:
            folder.chmod(0o700)  # a guest's memory holds its keys
            yield folder

    def keep(self, key: str, state: SavedState) -> None:
        """Make a new state, whose files are all in its folder, the one that others find."""
        sizes = {file.name: file.stat().st_size for file in state.folder.iterdir()}
        told = {
            "name": state.name,
            "made_at": state.made_at,
            "boot_seconds": state.boot_seconds,
            "guest_key": asdict(state.guest_key),
            "host_key": asdict(state.host_key),
            "sizes": sizes,
        }
        record = state.folder / _RECORD
        record.touch(mode=0o600)
        record.write_text(json.dumps(told))
        publish(state.folder, self._folder(key))
        self._make_room(key)

    def used(self, key: str) -> None:
        """Remember that it was, so that others leave before it."""
        with suppress(OSError):
            os.utime(self._folder(key) / _RECORD)

    def discard(self, key: str, until: Deadline) -> None:
        """Remove a state that is no good, once nobody starts from it."""
        with locked(self._lock(key), until):
            remove_tree(self._folder(key))

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk of every state, by key, the least recently used first."""
        folders = sorted(self.root.glob("*/state"), key=_last_used)
        return {folder.parent.name: _size(folder) for folder in folders}

    def _make_room(self, newest: str) -> None:
        sizes = self.sizes()
        too_much = sum(sizes.values()) - self.limit
        for key, size in sizes.items():
            if too_much <= 0:
                return
            if key == newest:
                continue
            # One that is being used or made stays, whatever the limit.
            with suppress(DeadlineExpired):
                self.discard(key, Deadline.after(0, "the state is not used"))
                too_much -= size

    @property
    def root(self) -> Path:
        """The folder of all states."""
        return self.cache / "states"

    def _folder(self, key: str) -> Path:
        return self.root / key / "state"

    def _lock(self, key: str) -> Path:
        return self.cache / "locks" / f"state {key}.lock"

    def __str__(self) -> str:
        sizes = self.sizes()
        return f"{len(sizes)} saved states, {sum(sizes.values()) >> 20} MiB of {format_size(self.limit)}"


def move(file: Path, folder: Path) -> None:
    """Move a file into a state's folder, from whichever file system it lies on.

    Raises:
        LabError: it cannot be moved.
    """
    try:
        shutil.move(file, folder / file.name)
    except OSError as error:
        raise LabError(f"{file} cannot be moved into the cache", reason=error) from None


def _last_used(folder: Path) -> float:
    try:
        return (folder / _RECORD).stat().st_mtime
    except OSError:
        return 0.0  # half of one: first to go


def _size(folder: Path) -> int:
    total = 0
    for file in folder.iterdir():
        with suppress(OSError):
            total += file.stat().st_blocks * 512
    return total
