"""KVM or TCG, and how fast this host is with it. Both are found out by booting a kernel.

A /dev/kvm that opens proves nothing: there are hosts where it does, libvirt lists KVM, and no kernel
ever prints a line.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kdump_tests.crashkernel.probe import ProbeLog, boot_log
from kdump_tests.deadline import Deadline
from kdump_tests.errors import HypervisorError
from kdump_tests.guest.cache import locked
from kdump_tests.sizes import MIB
from kdump_tests.steps import step

Name = Literal["kvm", "tcg", "host"]
Choice = Literal["auto", "kvm", "tcg"]

# The kernel's own start until it looks for its root: no disk, no userspace.
_FIRST_LINE = re.compile(r"Linux version")
_LATE_LINE = re.compile(r"Unable to mount root fs|No working init found|Run /\S*init as init process")
_KVM_SECONDS = 15.0
_TCG_SECONDS = 180.0
# That start under TCG on the machine whose times stand behind the suite's deadlines (2 cores, 2.6 GHz).
REFERENCE_SECONDS = 2.9
# However fast the machine, a scheduler's hiccup must not be taken for a hang.
_SMALLEST_FACTOR = 0.25


@dataclass(frozen=True)
class Accelerator:
    """What guests run on. ``factor`` stretches deadlines: 1 on the reference machine under TCG."""

    name: Name
    because: str
    factor: float

    def deadline(self, seconds: float, what: str) -> Deadline:
        """A deadline of so many seconds of the reference machine."""
        return Deadline.after(seconds * self.factor, what)


def choose(choice: Choice, kernel: Path, cache: Path) -> Accelerator:
    """The accelerator for this host; the answer is kept until the host boots again.

    Raises:
        HypervisorError: KVM was asked for and does not work, or not even TCG boots the kernel.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answers = cache / "host" / f"{boot_id}.json"
    with locked(cache / "locks" / "accelerator.lock", Deadline.after(300, "the accelerator is known")):
        known: dict[str, dict[str, object]] = json.loads(answers.read_text()) if answers.exists() else {}
        if choice not in known:
            known[choice] = asdict(_find_out(choice, kernel))
            answers.parent.mkdir(parents=True, exist_ok=True)
            for old in answers.parent.glob("*.json"):
                old.unlink()  # answers of earlier boots
            draft = answers.with_suffix(".new")
            draft.write_text(json.dumps(known))
            draft.rename(answers)
    return Accelerator(**known[choice])  # type: ignore[arg-type]


def _find_out(choice: Choice, kernel: Path) -> Accelerator:
    with step("host", "finding out the accelerator and the speed of this host"):
        if choice == "tcg":
            return _measured("tcg", "asked for", kernel)
        fault = _kvm_fault(kernel)
        if fault is None:
            return _measured("kvm", "a kernel boots under KVM", kernel)
        if choice == "kvm":
            raise HypervisorError(
                "KVM does not work here", reason=fault, way_out="--accel tcg, slower by about ten"
            )
        return _measured("tcg", f"KVM does not work here: {fault}", kernel)


def _kvm_fault(kernel: Path) -> str | None:
    device = Path("/dev/kvm")
    if not device.exists():
        return "there is no /dev/kvm"
    log = _boot(kernel, "kvm", _FIRST_LINE, _KVM_SECONDS)
    if log.matched:
        return None
    said = log.stderr.strip().splitlines()
    return said[-1] if said else f"/dev/kvm is there, yet a kernel prints nothing in {_KVM_SECONDS:.0f} s"


def _measured(name: Name, because: str, kernel: Path) -> Accelerator:
    log = _boot(kernel, name, _LATE_LINE, _TCG_SECONDS)
    if log.seconds_to_match is None:
        raise HypervisorError(
            f"a kernel does not boot under {name}",
            kernel=kernel,
            last_lines=log.tail(5),
            qemu_said=log.stderr,
        )
    return Accelerator(
        name, because, max(_SMALLEST_FACTOR, round(log.seconds_to_match / REFERENCE_SECONDS, 2))
    )


def _boot(kernel: Path, name: Name, stop: re.Pattern[str], seconds: float) -> ProbeLog:
    return boot_log(
        kernel,
        command_line="console=ttyS0 mitigations=off panic=-1",
        memory=256 * MIB,
        accelerator=name,
        stop=stop,
        until=Deadline.after(seconds, f"a kernel boots under {name}"),
    )
