"""A run's folder, written as the run goes."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Self

from kdump_tests.errors import CannotWrite, NoSpace
from kdump_tests.report.facts import Fact, RunStarted, StepDone, as_line
from kdump_tests.report.junit import junit
from kdump_tests.report.page import GUESTS, render_page
from kdump_tests.report.words import folder_name


class Report:
    """The report of one run; any thread may record facts.

    It holds nothing open: whenever the process is killed, the folder holds every fact recorded so far,
    and a page and a ``junit.xml`` that are whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts: list[Fact] = []
        self._lock = threading.Lock()

    @classmethod
    def create(cls, base: Path, started: RunStarted) -> Self:
        """A new folder in ``base`` for the run, its first fact in it, ``base/last`` pointing to it.

        Named after the time in UTC, so that names sort by age.
        """
        stem = f"{datetime.fromtimestamp(started.at, UTC):%Y-%m-%d-%H%M%S}-{folder_name(started.id)}"
        with _writing(base):
            base.mkdir(parents=True, exist_ok=True)
            report = cls(_new_folder(base, stem))
        report.record(started)
        with _writing(base / "last"):
            _point(base / "last", report.folder.name)
        return report

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "index.html"

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All that is known so far."""
        with self._lock:
            return tuple(self._facts)

    def guest_folder(self, name: str) -> Path:
        """The folder for what belongs to that guest: its logs, its domain, its dumps."""
        folder = self.folder / GUESTS / folder_name(name)
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def record(self, fact: Fact) -> None:
        """Keep a fact: its line at once, then what people and CI read.

        Raises:
            NoSpace: the disk is full.
            CannotWrite: the folder cannot be written, or is gone.
        """
        line = as_line(fact)
        with self._lock, _writing(self.folder):
            _append(self.folder / "results.jsonl", line)
            self._facts.append(fact)
            # Steps are many, and alone they change no verdict: they appear with the next fact.
            if not isinstance(fact, StepDone):
                _replace(self.folder / "junit.xml", junit(self._facts))
                _replace(self.page, render_page(self._facts, self.folder).encode())


def _new_folder(base: Path, stem: str) -> Path:
    """A folder that was not there before: a report is never written over another."""
    for name in (stem if number == 1 else f"{stem}-{number}" for number in count(1)):
        with suppress(FileExistsError):
            (base / name).mkdir()
            return base / name
    raise AssertionError("numbers do not end")


def _append(path: Path, line: bytes) -> None:
    """The whole line or nothing of it: half a line in the middle would spoil the file."""
    # Unbuffered: a buffer would try its rest again as it is closed, in the room that truncating made.
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise


def _replace(path: Path, content: bytes) -> None:
    """At any moment, a reader finds the old file or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def _point(link: Path, target: str) -> None:
    new = link.with_name(f".last-{target}")
    new.symlink_to(target)
    try:
        new.replace(link)
    except OSError:
        new.unlink()
        raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in {errno.ENOSPC, errno.EDQUOT} else CannotWrite
        raise kind(f"the report cannot be written: {error.strerror}", path=error.filename or path) from error
