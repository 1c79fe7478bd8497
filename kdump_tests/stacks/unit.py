"""A kdump service, as systemd and the kernel see it: the same in every stack."""

from collections.abc import Callable, Iterable, Mapping

from kdump_tests.deadline import Deadline, wait_until
from kdump_tests.errors import NotArmed
from kdump_tests.guest.shell import Shell
from kdump_tests.stacks.stack import KdumpState, Mechanism

_LOADED = "/sys/kernel/kexec_crash_loaded"
# Of ppc64le alone. Linux 5.10 made the folder; before, there were files of their own (fadump-howto.txt).
_FADUMP = ("/sys/kernel/fadump/registered", "/sys/kernel/fadump_registered")
_ARMED = (_LOADED, *_FADUMP)
_COMMAND_LINE = "/proc/cmdline"
_EARLY = "rd.earlykdump"  # early-kdump-howto.txt

_PAUSE_SECONDS = 5.0  # each question takes CPU from the arming, which takes a minute under TCG


class _StillAtIt(Exception):
    """systemd has not done with the service."""


def settle(shell: Shell, service: str, until: Deadline) -> None:
    """Wait until systemd has done with a service that is part of the boot, well or badly.

    Raises:
        DeadlineExpired: it has not.
    """
    # It costs the guest nothing while it waits, and needs systemd 240; RHEL 8 has 239.
    shell.attempt("systemctl", "is-system-running", "--wait", until=until)

    def ended() -> None:
        unit = _properties(shell, service, until)
        # Job is there as long as one waits or runs: a service of a boot that is under way has one.
        if unit.get("Job", "0") not in {"", "0"} or unit.get("ActiveState") in {"activating", "reloading"}:
            raise _StillAtIt

    try:
        wait_until(ended, until, retry_on=_StillAtIt, pause=_PAUSE_SECONDS)
    except _StillAtIt:
        raise until.error(service=service) from None


def state_of(shell: Shell, service: str, until: Deadline) -> KdumpState:
    """The service by systemd's view, the capture kernel by the kernel's, and the service's journal."""
    unit = _properties(shell, service, until)
    # All at once: every command costs a fifth of a second under TCG. What is not there says nothing.
    told = _first_lines(shell.attempt("head", "-v", "-n", "1", *_ARMED, _COMMAND_LINE, until=until).stdout)
    armed, active = _is_armed(told), unit.get("ActiveState", "")
    # Its account is long in coming, and asked for when something is wrong.
    said = "" if armed and active == "active" else _journal(shell, service, until)
    return KdumpState(service, unit.get("UnitFileState", ""), active, armed, said, _mechanism(told))


def is_loaded(shell: Shell, until: Deadline) -> bool:
    """Whether a panic now would start a capture kernel, or the firmware would keep the memory."""
    return _is_armed(_first_lines(shell.attempt("head", "-v", "-n", "1", *_ARMED, until=until).stdout))


def require_loaded(shell: Shell, settings: Iterable[str], said: Callable[[], str], until: Deadline) -> None:
    """See that it was loaded anew. ``settings`` are as they were written, ``said`` what kdump says of them.

    Raises:
        NotArmed: it was not.
    """
    if not is_loaded(shell, until):
        raise NotArmed(
            "no capture kernel is loaded with the settings given",
            settings="\n".join(settings),
            it_says=said(),
        )


def _is_armed(told: Mapping[str, str]) -> bool:
    return any(told.get(path) == "1" for path in _ARMED)


def _mechanism(told: Mapping[str, str]) -> Mechanism:
    if any(told.get(path) == "1" for path in _FADUMP):
        return Mechanism.FADUMP
    return Mechanism.EARLY if _EARLY in told.get(_COMMAND_LINE, "").split() else Mechanism.KEXEC


def _first_lines(told: str) -> dict[str, str]:
    """What `head -v` printed of each file."""
    parts = told.split("==> ")[1:]
    return {path: text.strip() for path, _, text in (part.partition(" <==\n") for part in parts)}


def _properties(shell: Shell, service: str, until: Deadline) -> dict[str, str]:
    asked = "--property=ActiveState,UnitFileState,Job"
    shown = shell.run("systemctl", "show", asked, service, until=until)
    return dict(line.partition("=")[::2] for line in shown.splitlines())


def _journal(shell: Shell, service: str, until: Deadline) -> str:
    words = ("--boot", "--unit", service, "--output=cat", "--lines=20", "--no-pager")
    return shell.attempt("journalctl", *words, until=until).stdout.strip()
