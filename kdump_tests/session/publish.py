"""The facts of the rooms as the facts of the report."""

from pathlib import Path

from kdump_tests.crash.crash import Crash, Dump
from kdump_tests.errors import KdumpVerifyError
from kdump_tests.guest.crashkernel_parameter import CrashkernelParameter
from kdump_tests.guest.facts import KernelFacts, Witnesses
from kdump_tests.guest.machine import Guest
from kdump_tests.report import facts


def guest_booted(
    guest: Guest, kernel: KernelFacts, parameter: CrashkernelParameter, report: Path
) -> facts.GuestBooted:
    """A guest that answers."""
    return facts.GuestBooted(
        guest=guest.name,
        image=guest.image.image.name,
        image_digest=guest.image.digest,
        memory=guest.spec.memory,
        vcpus=guest.spec.vcpus,
        kernel_release=kernel.release,
        command_line=kernel.command_line,
        boot_seconds=round(guest.boot_seconds, 2),
        boot_id=kernel.boot_id,
        folder=str(guest.folder.relative_to(report)),
        crashkernel_requested=parameter.requested,
        crashkernel_passed=parameter.passed or "",
        crashkernel_because=parameter.because,
        origin=guest.origin.value,
        origin_because=guest.origin_because,
    )


def reservation(guest: Guest, parameter: CrashkernelParameter, seen: Witnesses) -> facts.Reservation:
    """What the witnesses said."""
    expected = parameter.expected(guest.spec.memory)
    return facts.Reservation(
        guest=guest.name,
        memory=guest.spec.memory,
        expected=expected.total if expected else None,
        sysfs=seen.sysfs,
        iomem=seen.iomem.total,
        boot_log=seen.boot_log.reservation.total,
    )


def crash(happened: Crash) -> facts.Crash:
    """The timeline of a crash."""
    timeline = happened.timeline
    return facts.Crash(
        guest=happened.guest,
        trigger=str(happened.trigger),
        nonce=happened.nonce,
        boot_id_before=happened.kernel.boot_id,
        boot_id_after=happened.boot_id_after,
        phases=tuple(
            facts.PhaseReached(event.phase.value, round(event.seconds, 2), event.line.text)
            for event in timeline.events
        ),
        ended=timeline.phase.value,
        failure="; ".join(fault.what for fault in timeline.faults),
    )


def dump(happened: Crash, report: Path) -> facts.Dump | None:
    """What the crash left, None when there is nothing that can be told."""
    try:
        left = happened.dump
    except KdumpVerifyError:
        return None
    inside = left.vmcore
    copies = {file.name: str(path.relative_to(report)) for file, path in left.copies}
    return facts.Dump(
        guest=happened.guest,
        path=left.directory.path,
        files=tuple(
            facts.Artifact(file.name, file.size, f"{file.mode:04o}", file.owner, copies.get(file.name, ""))
            for file in left.directory.files
        ),
        format=_format(left),
        complete=inside.complete,
        incomplete_because=inside.incomplete_because,
        kernel_release=inside.kernel_release or "",
        build_id=inside.build_id or "",
        crash_time=inside.crash_time,
        panic_message=inside.panic_message or "",
        seconds_to_judge=round(left.seconds_to_judge, 3),
    )


def _format(left: Dump) -> str:
    return f"{left.vmcore.format}{', flattened' if left.vmcore.flattened else ''}"
