#!/usr/bin/env python3
"""Mutate a real dump's headers and ask the project's readers: no hang, no crash, no false "complete".

    .venv/bin/python benchmarks/fuzz.py reports/last/guests/*/dump/dump.* --record

atheris (libFuzzer) chooses what is written over headers, bitmaps and descriptors by what the readers then
do. The dump is given as it is, flattened, and as an ELF core with its notes; most are cut besides, and none
of those is whole. An input that takes longer than seconds, or a GiB of memory, is a failure too.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from results import Row, record, table

_LONGEST_SECONDS = 5
_MOST_MIB = 1024
_LARGEST_CUT = 1 << 16


def main() -> int:
    """Fuzz in a process of its own, which libFuzzer ends; then tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", type=Path, help="of any guest, kdump-compressed, as it was saved")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write the result into RESULTS.md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.dump, options.runs, options.seed)
    done = subprocess.run(
        [sys.executable, *sys.argv, "--here"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    counts = dict(re.findall(r"^counted (.+): (\d+)$", done.stdout, re.MULTILINE))
    found = re.search(r"Done (\d+) runs in (\d+) second", done.stdout)
    good = done.returncode == 0 and found is not None
    if not good:
        print(done.stdout[-5000:])
    text = table(
        [
            Row("inputs", found[1] if found else "not all", f"{options.runs}"),
            Row("seconds", found[2] if found else "unknown"),
            *(Row(f"said to be {verdict}", count) for verdict, count in sorted(counts.items())),
            Row("hangs, crashes, cut dumps said to be complete", "none" if good else "SOME", "none"),
        ]
    )
    print(text)
    if options.record:
        record("Mutated headers", "benchmarks/fuzz.py DUMP --record", text)
    return 0 if good else 1


def fuzz(dump: Path, runs: int, seed: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["kdump_tests.vmcore"]):
        from kdump_tests.e2e.damage import reassembled
        from kdump_tests.unit.vmcore.dumps import elf_core, flattened
        from kdump_tests.unit.vmcore.mutations import Base, end_of_core, miniature, passes_for_complete
        from kdump_tests.vmcore.flattened import SIGNATURE
        from kdump_tests.vmcore.inspection import inspect

    saved = dump.read_bytes()
    plain = miniature(reassembled(saved) if saved.startswith(SIGNATURE) else saved)
    vmcoreinfo = "".join(f"{key}={value}\n" for key, value in inspect(dump).vmcoreinfo.items()).encode()
    core = elf_core(vmcoreinfo)
    bases = [
        plain,
        Base(flattened(plain.whole), 3 * 4096),
        Base(core, 64 + 56 * 3 + 400 + len(vmcoreinfo), end_of_core),
    ]
    path = Path(tempfile.mkdtemp()) / "vmcore"
    counts = {"complete": 0, "not complete": 0}

    def one(data: bytes) -> None:
        choice = atheris.FuzzedDataProvider(data)
        base = bases[choice.ConsumeIntInRange(0, len(bases) - 1)]
        cut = choice.ConsumeIntInRange(0, _LARGEST_CUT) % len(base.whole)
        edits = []
        while choice.remaining_bytes() > 4:
            at = choice.ConsumeIntInRange(0, base.leading - 1)
            edits.append((at, choice.ConsumeBytes(choice.ConsumeIntInRange(1, 24))))
        dump = base.mutated(edits, cut)
        complete = passes_for_complete(path, dump)
        counts["complete" if complete else "not complete"] += 1
        if sum(counts.values()) == runs:
            print(
                *(f"counted {verdict}: {count}" for verdict, count in counts.items()), sep="\n", flush=True
            )
        if complete and base.is_cut(dump):
            raise AssertionError(
                f"{cut} bytes short, edited at {[at for at, _ in edits]}, and said to be complete"
            )

    limits = [f"-timeout={_LONGEST_SECONDS}", f"-rss_limit_mb={_MOST_MIB}", "-max_len=256"]
    atheris.Setup([sys.argv[0], f"-runs={runs}", f"-seed={seed}", *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
