"""From the crashkernel= value that the user asks for to the one that the guest's kernel is given."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdump_tests.crashkernel.evaluation import expected_reservations
from kdump_tests.crashkernel.generation import generation_of, newest
from kdump_tests.crashkernel.placement import X86_64, Placement, placement_of
from kdump_tests.crashkernel.policy import Rule, load_policy
from kdump_tests.crashkernel.probe import knows_auto
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.crashkernel.setting import Auto
from kdump_tests.errors import BadInput
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.cache import locked
from kdump_tests.guest.image import BuiltImage
from kdump_tests.sizes import format_size

# Leaves the parameter out: a machine without kdump, for those who want to see it fail.
NONE = "none"
AUTO = "auto"
_NOTHING = (Reservation(0),)


@dataclass(frozen=True)
class CrashkernelParameter:
    """What one guest's kernel is given, and what it should keep aside for it.

    ``passed`` is None when the parameter is left out; ``because`` says why it is another one than asked for.
    ``expected`` has several where chance decides, the first tried first, and none when nobody can tell
    beforehand: ``unforeseen`` says why. ``probed`` is the same for the probe, which leaves nothing to
    chance. With ``at_least``, more is as good.
    """

    requested: str
    passed: str | None
    because: str = ""
    expected: tuple[Reservation, ...] = ()
    probed: tuple[Reservation, ...] = ()
    unforeseen: str = ""
    at_least: bool = False

    @property
    def promises_nothing(self) -> bool:
        """Whether the setting itself keeps nothing aside on so small a machine."""
        return self.passed is not None and self.expected == _NOTHING


def check_request(requested: str, memory: Sequence[int]) -> None:
    """Refuse a value that is none, or that keeps nothing aside on any machine of so many bytes.

    Raises:
        BadInput: says which and why.
    """
    if requested == NONE:
        return
    rule = Rule.of(requested)
    if requested != AUTO and not any(promises(rule, size) for size in memory):
        raise BadInput(
            f"crashkernel={requested} keeps nothing aside on a machine of "
            f"{', '.join(map(format_size, memory))}",
            reason="no range covers that memory, or the size is not smaller than the memory",
            way_out="more --memory, or less --crashkernel",
        )


def promises(rule: Rule, memory: int) -> bool:
    """Whether a rule keeps anything aside on so many bytes, as far as can be told without a kernel."""
    try:
        return expected_reservations(rule.setting(memory), memory, newest("x86_64"), X86_64) != _NOTHING
    except BadInput:
        return True


@dataclass(frozen=True)
class Choice:
    """What was asked for, what is passed instead and by which rule the outcome is foretold."""

    requested: str
    rule: Rule | None
    passes_auto: bool
    because: str
    kernel_release: str
    placement: Placement

    def on(self, memory: int) -> CrashkernelParameter:
        """What a guest of so many bytes is given."""
        if self.rule is None and not self.passes_auto:
            return CrashkernelParameter(self.requested, None, self.because, _NOTHING, _NOTHING)
        setting = self.rule.setting(memory) if self.rule else Auto()
        parameter = CrashkernelParameter(
            self.requested,
            AUTO if self.passes_auto else str(setting),
            self.because,
            at_least=self.rule.at_least(memory) if self.rule else False,
        )
        try:
            generation = generation_of(self.kernel_release, self.placement.architecture)
            if isinstance(setting, Auto) and not generation.knows_auto:
                # The kernel itself said that it does, and its release is nobody's that is known to.
                return replace(parameter, unforeseen="no policy says what its auto comes to")
            expected, probed = (
                expected_reservations(setting, memory, generation, placement)
                for placement in (self.placement, self.placement.probed)
            )
        except BadInput as error:
            return replace(parameter, unforeseen=error.message)
        return replace(parameter, expected=expected, probed=probed)


def choose(
    requested: str, image: BuiltImage, accelerator: Accelerator, cache: Path, policy: str | None = None
) -> Choice:
    """Pass on what was asked for; where the kernel does not know ``auto``, a policy or the image's default.

    Where it does, a policy says what its ``auto`` should come to. ``policy`` names one of policies/, or a
    file of that form.

    Raises:
        BadInput: neither the kernel nor the distribution has a default, or the command line is not ours.
    """
    architecture = image.image.architecture
    by = (image.kernel_release, placement_of(architecture))
    if requested == NONE:
        return Choice(requested, None, False, "left out, as asked", *by)
    if requested != AUTO:
        return Choice(requested, Rule.of(requested), False, "", *by)
    rule = load_policy(policy).rule(architecture) if policy is not None else None
    assert image.kernel is not None
    if _knows_auto(image.kernel, accelerator, cache):
        why = f"its kernel knows auto; foretold by the policy {policy}" if rule else ""
        return Choice(requested, rule, True, why, *by)
    if rule is not None:
        return Choice(
            requested, rule, False, f"its kernel does not know auto; this is the policy {policy}", *by
        )
    if image.crashkernel is None:
        raise BadInput(
            f"crashkernel=auto means nothing to {image.image.name}",
            reason="its kernel does not know auto, and its kdump package sets no default",
            way_out="name a size or a policy: --crashkernel 256M, --policy rhel9",
        )
    why = f"its kernel does not know auto; this is what the kdump package of {image.image.distribution} sets"
    return Choice(requested, Rule.of(image.crashkernel), False, why, *by)


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
