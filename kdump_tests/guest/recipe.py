"""A recipe carried out into the cache: as root, confined, and its log kept when it fails."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import ImageError, LabError, NoSpace
from kdump_tests.guest.cache import require_space, staging
from kdump_tests.subprocesses import run


@dataclass(frozen=True)
class Recipe:
    """A program that fills a folder. ``space`` is what it needs on the way, in bytes.

    ``makes`` and ``done`` are how errors call it: "image debian-12", "built". ``as_root`` is the command
    that does it as root, and ``root_because`` why it must be.
    """

    program: Path
    makes: str
    done: str
    space: int
    root_because: str
    as_root: str
    kept_log: Path
    way_out: str = ""

    @contextmanager
    def carried_out(
        self, parent: Path, arguments: Callable[[Path], Sequence[str | Path]], until: Deadline
    ) -> Iterator[Path]:
        """The folder, filled; what the block does not publish is gone at its end.

        Raises:
            ImageError: it failed, or the block did; or this is not root.
            NoSpace: the disk is too full.
        """
        require_space(parent, self.space, f"{self.makes} to be {self.done}")
        if os.geteuid() != 0:
            raise ImageError(
                f"{self.makes} can only be {self.done} as root",
                reason=self.root_because,
                way_out=f"as root: {self.as_root}",
            )
        with staging(parent) as folder:
            log = folder / f"{self.kept_log.name}"
            try:
                run([*_confinement(), self.program, *arguments(folder)], until, log=log)
                yield folder
            except LabError as error:
                kind = NoSpace if isinstance(error, NoSpace) else ImageError
                reasons = [error.message, error.facts.get("reason", "")]
                told = {"reason": ": ".join(filter(None, reasons)), "log": self._keep(log)}
                raise kind(
                    f"{self.makes} could not be {self.done}",
                    **{**error.facts, **told, "way_out": self.way_out},
                ) from None

    def _keep(self, log: Path) -> Path:
        """Out of a folder that is about to go; there is one even if it is empty."""
        # Moved, as a full disk takes no copy.
        log.replace(self.kept_log) if log.exists() else self.kept_log.touch()
        return self.kept_log


def _confinement() -> tuple[str, ...]:
    """A prefix under which a recipe dies with us, whole, and its mounts with it.

    A bootstrap is a tree of processes with /proc and /dev mounted in the new system. In namespaces of
    its own nothing of that outlives the first process, and that one is killed when we are. Where the
    host forbids namespaces (an ordinary container) the recipe runs bare: it then mounts nothing either.
    """
    prefix = (
        "setpriv", "--pdeathsig", "KILL", "--",
        "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
    )  # fmt: skip
    try:
        run([*prefix, "true"], Deadline.after(10, "namespaces are tried"))
    except LabError:
        return ("setpriv", "--pdeathsig", "KILL", "--")
    return prefix
