"""From the crashkernel= value that the user asks for to the one that the guest's kernel is given."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.crashkernel.evaluation import expected_reservation
from kdump_tests.crashkernel.policy import load_policy
from kdump_tests.crashkernel.probe import knows_auto
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import Auto, parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.cache import locked
from kdump_tests.guest.image import BuiltImage
from kdump_tests.sizes import format_size

# Leaves the parameter out: a machine without kdump, for those who want to see it fail.
NONE = "none"


@dataclass(frozen=True)
class CrashkernelParameter:
    """``passed`` is None when the parameter is left out; ``because`` says why it is another one."""

    requested: str
    passed: str | None
    because: str = ""

    def expected(self, memory: int) -> Reservation | None:
        """What a kernel reserves for it on so many bytes of RAM; None when nobody can tell beforehand."""
        if self.passed is None:
            return Reservation(0)
        try:
            return expected_reservation(parse_setting(self.passed), memory)
        except BadInput:
            return None


def check_request(requested: str, memory: int) -> None:
    """Refuse a value that is none, or that a machine of so many bytes cannot keep aside.

    Raises:
        BadInput: says which and why.
    """
    if requested == NONE:
        return
    setting = parse_setting(requested)
    if isinstance(setting, Auto):
        return
    parameter = CrashkernelParameter(requested, requested)
    if parameter.expected(memory) == Reservation(0):
        raise BadInput(
            f"crashkernel={requested} keeps nothing aside on a machine of {format_size(memory)}",
            reason="no range covers that memory, or the size is not smaller than the memory",
            way_out="more --memory, or less --crashkernel",
        )


def choose(
    requested: str, image: BuiltImage, accelerator: Accelerator, cache: Path, policy: str | None = None
) -> CrashkernelParameter:
    """Pass on what was asked for; where the kernel does not know ``auto``, a policy or the image's default.

    ``policy`` names one of policies/, or a file of that form.

    Raises:
        BadInput: neither the kernel nor the distribution has a default, or the command line is not ours.
    """
    if requested == NONE:
        return CrashkernelParameter(requested, None, "left out, as asked")
    if image.kernel is None:
        raise BadInput(
            f"crashkernel={requested} cannot be set on {image.image.name}",
            reason="it boots by its own boot loader, which has its own kernel command line",
            way_out="--crashkernel none leaves that line as it is",
        )
    if not isinstance(parse_setting(requested), Auto):
        return CrashkernelParameter(requested, requested)
    if _knows_auto(image.kernel, accelerator, cache):
        return CrashkernelParameter(requested, requested)
    if policy is not None:
        ranges = str(load_policy(policy).setting(image.image.architecture))
        return CrashkernelParameter(
            requested, ranges, f"its kernel does not know auto; this is the policy {policy}"
        )
    if image.crashkernel is None:
        raise BadInput(
            f"crashkernel=auto means nothing to {image.image.name}",
            reason="its kernel does not know auto, and its kdump package sets no default",
            way_out="name a size or a policy: --crashkernel 256M, --policy rhel9",
        )
    why = f"its kernel does not know auto; this is what the kdump package of {image.image.distribution} sets"
    return CrashkernelParameter(requested, image.crashkernel, why)


def _knows_auto(kernel: Path, accelerator: Accelerator, cache: Path) -> bool:
    """What the kernel said; kept, as the same kernel says the same."""
    until = accelerator.deadline(60, "the kernel says whether it knows crashkernel=auto")
    said = cache / "kernels" / f"{hashlib.sha256(kernel.read_bytes()).hexdigest()[:24]}.json"
    with locked(cache / "locks" / "kernels.lock", until):
        if not said.exists():
            answer = {"knows_auto": knows_auto(kernel, accelerator.name, until)}
            said.parent.mkdir(parents=True, exist_ok=True)
            draft = said.with_suffix(".new")
            draft.write_text(json.dumps(answer))
            draft.rename(said)
        return bool(json.loads(said.read_text())["knows_auto"])
