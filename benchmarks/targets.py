#!/usr/bin/env python3
"""Every target and setting of kdump, one real crash each: what was verified, on which guest, when.

    .venv/bin/python benchmarks/targets.py                      all, two to seven minutes each
    .venv/bin/python benchmarks/targets.py --image debian-13 ssh nfs4 level-31-zstd

Of an image of another kdump, `--image` is its name, `--package` what its guests are known by, and `--suite`
what they need to run at all, as often as needed: --suite=--memory=2G --suite=--crashkernel=256M.

Each is a run of the suite with a configuration of its own. With --record the results are written into
benchmarks/TARGETS.md; what was not run again keeps its line. Exit status 1 when one did not end as it must:
then its report stays.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from results import PROJECT, Line, enter, here, in_words, run_suite

from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.image import BuiltImage
from kdump_tests.report.facts import Crash, Dump, Verdict, read_facts
from kdump_tests.report.words import NodeId
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.kdump_conf import parse_kdump_conf
from kdump_tests.stacks.stack import Stack

_TABLE = PROJECT / "benchmarks" / "TARGETS.md"
_LONGEST_SECONDS = 1500
_SSH = "ssh kdump@dump-server\npath /srv/dumps\ncore_collector makedumpfile -F -l -d 31"
_NFS = "nfs dump-server:/srv/dumps\npath /\ncore_collector makedumpfile -c -d 31"
_FTP = ("FTP=dump-server:/srv/dumps", "FTP_USER=kdump", "FTP_PASSWORD=thrown-away")
_UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@dataclass(frozen=True)
class Case:
    """A configuration and what must become of it.

    ``fails`` are words that the verdict must have where the dump cannot be saved; ``server`` is what is
    wrong with the dump server then. ``ends`` tells how the machine ends whose disk was full: its last words,
    and what the hypervisor saw of it. ``storage``: it needs the tools of the image's sibling of that name.
    """

    name: str
    conf: str = ""
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    server: str = ""
    fails: str = ""
    ends: tuple[str, str] = ("", "")
    storage: bool = False


_LEVELS = (0, 1, 17, 31)
_COMPRESSIONS = {"none": "", "zlib": "-c ", "lzo": "-l ", "snappy": "-p ", "zstd": "-z "}

CASES = (
    Case("ssh", _SSH),
    Case("ssh-by-hostname", _SSH, ("HOSTTAG=hostname",)),
    Case("ssh-another-keys-file", f"{_SSH}\nsshkey /root/.ssh/of-dumps"),
    Case("ssh-wrong-key", _SSH, server="another-key", fails="Permission denied"),
    Case("ssh-password-only", _SSH, server="passwords-only", fails="Permission denied"),
    Case("ssh-host-key-changed", _SSH, server="another-host-key", fails="Host key verification failed"),
    Case("ssh-server-gone", _SSH, server="gone", fails="Unable to reach remote server"),
    Case("nfs4", _NFS),
    Case("nfs3", _NFS, options=("--nfs-version=3",)),
    Case("nfs4-patience", _NFS, ("NFS_TIMEO=100", "NFS_RETRANS=5")),
    Case("ftp", settings=_FTP),
    Case("ext4-by-device", "ext4 /dev/disk/by-id/virtio-dumps\npath /dumps"),
    Case("ext4-by-label", "ext4 LABEL=dumps\npath /dumps"),
    Case("ext4-by-uuid", f"ext4 UUID={_UUID}\npath /dumps"),
    Case("xfs-by-label", "xfs LABEL=dumps\npath /dumps", storage=True),
    Case("btrfs-by-uuid", f"btrfs UUID={_UUID}\npath /dumps", storage=True),
    Case("lvm", "ext4 /dev/dumps/plain\npath /dumps", storage=True),
    Case("thin-lvm", "xfs /dev/dumps/thin\npath /dumps", storage=True),
    *(
        Case(f"level-{level}-{name}", f"core_collector makedumpfile {option}-d {level}")
        for level in _LEVELS
        for name, option in _COMPRESSIONS.items()
    ),
    *(Case(f"level-{level}-elf", f"core_collector makedumpfile -E -d {level}") for level in _LEVELS),
    Case("level-31-threads", "core_collector makedumpfile --num-threads 1 -c -d 31"),
    Case("raw", "raw /dev/disk/by-id/virtio-dumps\ncore_collector makedumpfile -F -l -d 31"),
    Case("copied", "core_collector cp"),
    Case("final-halt", "final_action halt"),
    Case("final-poweroff", "final_action poweroff"),
    Case("failure-reboot", "failure_action reboot", ends=("reboot: Restarting system", "")),
    Case("failure-poweroff", "failure_action poweroff", ends=("reboot: Power down", "the machine ended")),
    Case("failure-halt", "failure_action halt", ends=("reboot: System halted", "nothing decisive")),
    Case("failure-shell", "failure_action shell", ends=("", "waits for a person at its console")),
    *(Case(f"packed-{name}", settings=(f"KDUMP_COMPRESSION={name}",)) for name in ("gzip", "lz4")),
    Case("packed-bzip2", settings=("KDUMP_COMPRESSION=bzip2",), storage=True),
    # xz -6 takes 94 MiB, more than is free in the 128 MiB that Debian keeps aside: there it is killed.
    Case("packed-xz", settings=("KDUMP_COMPRESSION=xz",), options=("--crashkernel=384M",), storage=True),
    Case("two-dumps-kept", settings=("KDUMP_NUM_DUMPS=2",), options=("-p", "kdump_tests.e2e.older_dumps")),
    Case(
        "command-line",
        settings=(
            "KDUMP_CMDLINE_APPEND=reset_devices systemd.unit=kdump-tools-dump.service "
            "nr_cpus=1 irqpoll usbcore.nousb panic=20",
        ),
    ),
    Case("path-elsewhere", "path /srv/elsewhere"),
    Case("without-kernel-log", settings=("KDUMP_DUMP_DMESG=0",)),
    Case("loaded-by-file", settings=("KDUMP_KEXEC_ARGS=-s",)),
)


# Of each option that kdump.conf has, a line that some stack cannot do.
_ASKED = (
    "raw /dev/vdb", "virtiofs dumps", "dracut_args --mount '/dev/vdb /mnt ext4'", "core_collector cp",
    "failure_action shell", "failure_action dump_to_rootfs", "final_action halt", "kdump_pre /bin/true",
    "kdump_post /bin/true", "kdump_emergency /bin/true", "extra_bins /bin/true", "extra_modules e1000e",
    "force_rebuild 1", "force_no_rebuild 1", "fence_kdump_nodes node", "auto_reset_crashkernel yes",
)  # fmt: skip


@dataclass(frozen=True)
class Result(Line):
    """What became of a case, as a line of the table."""

    case: str
    guest: str
    outcome: str
    dump: str
    seconds: str
    day: str

    @property
    def good(self) -> bool:
        """Whether it ended as it must."""
        return self.outcome.startswith(("verified", "refused", "ended as told"))


def main() -> int:
    """Run what is asked for, tell, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [case.name for case in CASES]
    parser.add_argument("case", nargs="*", help=f"one of: {', '.join(known)} (default: all)")
    parser.add_argument("--image", default="debian-12", help="the guests' (default: %(default)s)")
    parser.add_argument("--package", help="their kdump, where no package of the image is: 'kdump-utils 1.0'")
    parser.add_argument("--suite", action="append", default=[], help="an option of the suite, for all runs")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/TARGETS.md")
    options = parser.parse_args()
    if unknown := set(options.case) - set(known):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    images = ImageStore(default_cache())
    stack = STACKS[images.get(options.image).image.stack]
    results = []
    for case in CASES:
        if case.name in options.case or (not options.case and _can_say(stack, case)):
            built = images.get(f"{options.image}{'-storage' if case.storage else ''}")
            results.append(_run(case, built, options.package, options.suite))
            print(results[-1].as_line, flush=True)
            if options.record:
                _record(results[-1])
    return 0 if all(result.good for result in results) else 1


def _can_say(stack: Stack, case: Case) -> bool:
    """Whether a kdump has words for all that a case asks for."""
    names = {setting.partition("=")[0] for setting in case.settings}
    return not stack.translate(parse_kdump_conf(case.conf)).untranslated and names <= stack.settings.keys()


def _guest(built: BuiltImage, package: str | None) -> str:
    if package:
        return f"{built.image.distribution}, {package}, Linux {built.kernel_release}"
    version = dict(built.packages)["kdump-tools"]
    return f"{built.image.name}, kdump-tools {version}, Linux {built.kernel_release}"


def _run(case: Case, built: BuiltImage, package: str | None, options: list[str]) -> Result:
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"kdump-{case.name}-"))
    arguments = [
        "--memory=1G", *options, "-n", "1", f"--image={built.image.name}", f"--reports={folder}",
        *case.options,
        *(f"--kdump-setting={setting}" for setting in case.settings),
    ]  # fmt: skip
    if case.conf:
        conf = folder / "kdump.conf"
        conf.write_text(f"{case.conf}\n")
        arguments.append(f"--kdump-conf={conf}")
    if case.server:
        arguments += ["-p", "kdump_tests.e2e.unwilling_server"]
    if any(case.ends):
        arguments += ["-p", "kdump_tests.e2e.full_disk"]
    status = run_suite(arguments, _LONGEST_SECONDS, KDUMP_VERIFY_UNWILLING=case.server)
    outcome, dump = _judged(case, status, folder / "last")
    result = Result(
        case=case.name,
        guest=_guest(built, package),
        outcome=outcome,
        dump=dump,
        seconds=f"{time.monotonic() - begun:.0f} s",
        day=f"{datetime.now(UTC):%Y-%m-%d}",
    )
    if result.good:
        shutil.rmtree(folder)
    else:
        print(f"{case.name}: its report stays in {folder}/last", file=sys.stderr)
    return result


def _judged(case: Case, status: int, report: Path) -> tuple[str, str]:
    """The outcome, and what the dump is."""
    if not report.exists():
        return f"nothing was run (exit status {status})", ""
    told = read_facts(report / "results.jsonl")
    verdicts = [fact for fact in told if isinstance(fact, Verdict)]
    failed = [verdict for verdict in verdicts if verdict.outcome in {"failed", "error"}]
    names = [NodeId.parse(verdict.test).function for verdict in failed]
    dumps = [fact for fact in told if isinstance(fact, Dump)]
    shown = in_words(report, dumps[0]) if dumps else ""
    if any(case.ends):
        words, seen = case.ends
        (crash,) = (fact for fact in told if isinstance(fact, Crash))
        last = next((phase.line for phase in crash.phases if phase.name == "final action"), "nothing")
        if words in last and seen in crash.failure and bool(seen) is (crash.boot_id_after is None):
            return f"ended as told: {', '.join(filter(None, case.ends))}", shown
        return f"FAILED: {last}; {crash.failure}", shown
    if case.fails:
        saved = next((each for each in failed if "test_capture_kernel_saves_the_dmesg" in each.test), None)
        if status == 1 and saved and case.fails in saved.message:
            return f"refused: {case.fails}", shown
        return f"FAILED: no verdict says {case.fails!r} (exit status {status})", shown
    if status == 0:
        return f"verified: {sum(each.outcome == 'passed' for each in verdicts)} checks", shown
    return f"FAILED: {', '.join(names) or f'exit status {status}'}", shown


def _record(result: Result) -> None:
    """Put its line in the place of the one with the same case and guest."""
    system, package, *_ = result.guest.split()
    enter(
        _TABLE,
        _head(),
        f"| {result.case} | {system} {package} ",
        result.as_line,
        [case.name for case in CASES],
        ["", *_without_a_word()],
    )


def _without_a_word() -> list[str]:
    """What the suite skips by name, from the translation itself."""
    told = {line: STACKS["debian"].translate(parse_kdump_conf(line)).untranslated for line in _ASKED}
    return [
        "## What Debian's kdump-tools has no word for",
        "",
        *(f"- `{line}`: {left.reason}" for line, (left, *_) in told.items()),
    ]


def _head() -> str:
    return f"""\
# Targets and settings, as crashes of real guests left them

`.venv/bin/python benchmarks/targets.py --record`; last on {here()}.

A line is one crash: every check of `kdump_tests/verification` that is for it passed, or the dump was
refused where it must be, and the verdict names the reason. What has no line was not run. Debian 12
builds its makedumpfile without snappy and zstd, Debian 13 without snappy: with -p or -z it packs nothing
then, and that is no pass. Debian 13's comes to no end with --num-threads where the capture kernel has
one CPU. Guests with kdump-utils are no images of this project: upstream's with Debian's kernel and
tools, put together by hand.

| case | guest | outcome | dump | time | day |
|---|---|---|---|---|---|"""


if __name__ == "__main__":
    raise SystemExit(main())
