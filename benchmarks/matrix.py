"""What asking a kernel costs, against booting the machines whole."""

import resource
import time
from collections.abc import Callable

from results import Row

from kdump_tests.crashkernel.generation import generation_of
from kdump_tests.crashkernel.matrix import LARGEST, SMALLEST, Case, boundaries, expect, probe
from kdump_tests.crashkernel.placement import X86_64
from kdump_tests.crashkernel.policy import load_policy
from kdump_tests.crashkernel.probe import ask
from kdump_tests.deadline import Deadline
from kdump_tests.guest.image import BuiltImage
from kdump_tests.sizes import GIB, MIB, format_size

POLICY = load_policy("rhel8-rule-of-thumb").rule("x86_64")
CASES, SLOWEST, SMALLEST_RATIO, LARGEST_PROBE, SLOWEST_EXPECTS = 40, 40.0, 40, 400 * MIB, 0.050
# Those that are booted whole too; every host holds them.
BOOTED = (512 * MIB, GIB, 2 * GIB, 4 * GIB)


def rows(image: BuiltImage, accelerator: str, boot: Callable[[int], float]) -> list[Row]:
    """``boot`` tells how many seconds a guest of so many bytes takes to tell of its reservation."""
    kernel = image.kernel
    assert kernel is not None
    setting, generation = POLICY.setting(0), generation_of(image.kernel_release, image.image.architecture)

    def seconds(memory: int) -> float:
        begun = time.monotonic()
        ask(kernel, str(setting), memory, accelerator, Deadline.after(120, "the kernel answers"))
        return time.monotonic() - begun

    # The largest so far of the children that have ended: so the small machines come first.
    small = [seconds(memory) for memory in BOOTED]
    seconds(1 << 40)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    whole = [boot(memory) for memory in BOOTED]

    begun = time.monotonic()
    asked = [expect(Case(setting, memory), generation, X86_64.probed) for memory in _sizes()]
    answers = list(probe(kernel, asked, accelerator))
    matrix = time.monotonic() - begun
    agree = sum(answer.agrees is True for answer in answers)

    begun = time.monotonic()
    for number in range(1000):
        expect(Case(setting, SMALLEST + number * MIB), generation, X86_64)
    expects = time.monotonic() - begun
    booted = ", ".join(map(format_size, BOOTED))
    return [
        Row(
            f"{len(answers)} cases, {format_size(SMALLEST)} to {format_size(LARGEST)}",
            f"{matrix:.1f} s, {agree} agree",
            f"under {SLOWEST:.0f} s",
        ),
        Row(f"{booted} asked, one after another", f"{sum(small):.1f} s"),
        Row("the same booted whole", f"{sum(whole):.1f} s"),
        Row("ratio", f"{sum(whole) / sum(small):.0f}", f"at least {SMALLEST_RATIO}"),
        Row(
            "memory of a probe at its peak, up to 1T",
            f"{peak / MIB:.0f} MiB",
            f"under {LARGEST_PROBE // MIB} MiB",
        ),
        Row("1,000 expectations", f"{expects * 1000:.0f} ms", f"under {SLOWEST_EXPECTS * 1000:.0f} ms"),
    ]


def _sizes() -> list[int]:
    """The boundaries, and sizes between them until there are enough."""
    sizes = set(boundaries(POLICY.edges))
    between = (number * 5 * GIB for number in range(3, CASES))
    while len(sizes) < CASES:
        sizes.add(next(between))
    return sorted(sizes)
