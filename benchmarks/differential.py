#!/usr/bin/env python3
"""Random settings on random memory: does every kernel do what the evaluation says?

    .venv/bin/python benchmarks/differential.py                      5,000 cases, shared by three kernels
    .venv/bin/python benchmarks/differential.py --cases 300 debian-13-arm64

Every disagreement is told, with the kernel's words. Exit status 1 when there is one.
"""

import argparse
import time
from collections import Counter

from results import Row, record, table

from kdump_tests.crashkernel.matrix import Answer, probe
from kdump_tests.crashkernel.table import as_table
from kdump_tests.e2e.random_settings import draw_foretold
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache

IMAGES = ("debian-12", "debian-13-kernel", "debian-sid-kernel")


def main() -> int:
    """Ask, tell, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="*", help=f"whose kernels (default: {', '.join(IMAGES)})")
    parser.add_argument("--cases", type=int, default=5000, help="in all (default: %(default)s)")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="default: %(default)s")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/RESULTS.md")
    options = parser.parse_args()
    names = options.image or list(IMAGES)
    store = ImageStore(default_cache())
    images = [store.get(name) for name in names]
    rows: list[Row] = []
    wrong: list[Answer] = []
    for image in images:
        begun = time.monotonic()
        drawn = -(-options.cases // len(images))
        assert image.kernel is not None
        answers = list(probe(image.kernel, draw_foretold(drawn, image), options.accel))
        counted = Counter(answer.agrees for answer in answers)
        differing = [answer for answer in answers if answer.agrees is False]
        wrong += differing
        reserving = sum(answer.said.reservation.total > 0 for answer in answers)
        told = (
            f"{drawn} cases, {reserving} of them reserve: {counted[True]} agree, "
            f"{counted[False]} disagree, {drawn - len(answers)} cannot be told beforehand; "
            f"{time.monotonic() - begun:.0f} s"
        )
        rows.append(Row(f"{image.image.name}, {image.kernel_release}", told, "none disagrees"))
        print(f"{rows[-1].what}: {told}", flush=True)
        if differing:
            print(as_table(differing), flush=True)
    if options.record:
        command = f"benchmarks/differential.py --record {' '.join(options.image)}".rstrip()
        record("Random settings against real kernels", command, table(rows))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
