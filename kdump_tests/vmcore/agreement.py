"""Where two who read the same dump tell different things, or one can read what the other cannot."""

from kdump_tests.vmcore.analysis import Analysis
from kdump_tests.vmcore.crash_utility import Session

_SHOWN = 5


def contradictions(first: Analysis, second: Session) -> tuple[str, ...]:
    """What one of the two must be wrong about: the kernel's release, or the task that panicked."""
    told = (
        ("kernel release", first.release, second.release),
        ("crashed task", first.crashed, second.crashed),
    )
    return tuple(
        f"{what}: {first.reader} says {one}, {second.version} says {other}"
        for what, one, other in told
        if one is not None and other is not None and one != other
    )


def differences(first: Analysis, second: Session) -> tuple[str, ...]:
    """What only one of the two can read: findings that say something of the readers, and of their age."""
    if second.failure and not second.answers:
        return (f"{second.version} cannot read what {first.reader} reads: {second.failure}",)
    found = [f"{second.version}: {complaint}" for complaint in second.complaints]
    if second.failure:
        found.append(second.failure)
    for what, reason in first.unread.items():
        found.append(f"{first.reader} did not read {what}: {reason}")
    # crash counts the idle task of each CPU, which has PID 0 and no entry among the PIDs.
    seen, missing = {task.pid for task in first.tasks}, []
    for task in first.tasks:
        if task.pid not in second.pids:
            missing.append(f"{task.comm} ({task.pid})")
    if second.answer("ps") and missing:
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        found.append(f"{second.version} lists {len(second.pids - {0})} of the {len(seen)} tasks that "
                     f"{first.reader} lists; without {shown}")  # fmt: skip
    if more := second.pids - seen - {0}:
        shown = ", ".join(map(str, sorted(more)[:_SHOWN]))
        found.append(f"{second.version} lists {len(more)} tasks that {first.reader} does not, PIDs {shown}")
    return tuple(found)
