"""Finding and removing what killed runs left: QEMU processes, domains, overlays, what is half-made."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, HypervisorError
from kdump_tests.guest import hypervisor as hypervisors
from kdump_tests.guest.cache import abandoned, locked, remove_tree
from kdump_tests.guest.domain import run_of
from kdump_tests.guest.run import dead_runs, end
from kdump_tests.steps import step


@dataclass(frozen=True)
class Reaped:
    """What was found and removed."""

    runs: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    stagings: tuple[Path, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether all was clean."""
        return not (self.runs or self.processes or self.domains or self.stagings)


def reap(runs: Path, cache: Path) -> Reaped:
    """Remove what belongs to no living run. Guests of others, and of runs that live, are not touched."""
    ids: list[str] = []
    processes: list[str] = []
    domains: list[str] = []
    for folder, connect in dead_runs(runs):
        with step(folder.name, "removing what a killed run left"):
            if connect and connect != hypervisors.EMBEDDED:
                domains += _destroy_domains(connect, folder.name, cache)
            processes += end(folder)
        ids.append(folder.name)
    return Reaped(tuple(ids), tuple(processes), tuple(domains), tuple(_clear_stagings(cache)))


def _destroy_domains(connect: str, run_id: str, cache: Path) -> list[str]:
    until = Deadline.after(60, f"the guests of run {run_id} are gone from {connect}")
    gone = []
    # No daemon, no guests; nor with a URI that is refused, which a run may still have recorded.
    with (
        suppress(BadInput, HypervisorError, DeadlineExpired),
        hypervisors.connected(connect, cache, cache) as hypervisor,
    ):
        for domain, xml in hypervisor.domains(until):
            if run_of(xml) == run_id:
                domain.destroy(until)
                gone.append(domain.name)
    return gone


def _clear_stagings(cache: Path) -> list[Path]:
    """Half-made things whose maker is dead: the lock that guards them is free."""
    cleared = []
    for folder, lock in abandoned(cache):
        free_now = Deadline.after(0, "the lock is free")
        with suppress(DeadlineExpired), locked(lock, free_now):
            if folder.exists():
                remove_tree(folder)
                cleared.append(folder)
    return cleared
