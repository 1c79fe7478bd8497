#!/usr/bin/env python3
"""The main job on each guest image: does kdump work there, and if not, by which check and why?

    .venv/bin/python benchmarks/images.py                        all three, two to four minutes each
    .venv/bin/python benchmarks/images.py debian-sid --record    one, written into benchmarks/RESULTS.md

Exit status 1 when a laboratory failed: that kdump does not work on an image is a result like any other.
"""

import argparse
import tempfile
import time
from pathlib import Path

from results import Row, record, run_suite, table

from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.report.facts import Verdict, read_facts
from kdump_tests.report.words import NodeId

IMAGES = ("debian-12", "debian-13", "debian-sid")
_PACKAGES = ("kdump-tools", "makedumpfile", "kexec-tools")
_LONGEST_SECONDS = 1500


def main() -> int:
    """Verify, tell, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="*", help=f"default: {', '.join(IMAGES)}")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/RESULTS.md")
    options = parser.parse_args()
    failed = False
    for image in options.image or IMAGES:
        rows, status = _verify(image)
        print(table(rows), flush=True)
        failed |= status not in {0, 1}
        if options.record:
            record(f"The main job on {image}", f"benchmarks/images.py {image} --record", table(rows))
    return int(failed)


def _verify(image: str) -> tuple[list[Row], int]:
    """What was verified, as rows, and the exit status."""
    built = ImageStore(default_cache()).get(image)
    packages = dict(built.packages)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        status = run_suite([f"--image={image}", f"--reports={folder}"], _LONGEST_SECONDS)
        told = read_facts(Path(folder, "last", "results.jsonl"))
    took = time.monotonic() - begun
    verdicts = [fact for fact in told if isinstance(fact, Verdict)]
    count = {outcome: sum(each.outcome == outcome for each in verdicts) for outcome in ("passed", "skipped")}
    rows = [
        Row("kernel", built.kernel_release),
        *(Row(name, packages[name]) for name in _PACKAGES),
        Row("checks passed, skipped, in all", f"{count['passed']}, {count['skipped']}, {len(verdicts)}"),
        Row("exit status", str(status), "0, or 1 with its reason"),
        Row("took", f"{took:.0f} s"),
    ]
    for verdict in verdicts:
        if verdict.outcome not in count:
            told_why = (line.removeprefix("E ") for line in verdict.message.splitlines())
            reason = next((line.strip() for line in told_why if "Error: " in line), verdict.message)
            rows.append(Row(f"{verdict.outcome}: {NodeId.parse(verdict.test)}", reason))
    return rows, status


if __name__ == "__main__":
    raise SystemExit(main())
