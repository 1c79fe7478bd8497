"""A real crash, read with its kernel's debug information by both judges.

Not among what scripts/test runs: it fetches 300 MB and asks crash(8), two minutes in all. tox -e analysis.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdump_tests.crash.trigger import Trigger
from kdump_tests.debug_package import DebugPackages
from kdump_tests.e2e.suite_runs import Runner, SuiteRun
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.image import BuiltImage
from kdump_tests.report.facts import Analysis, Dump
from kdump_tests.vmcore.debug_information import Vmlinux


@pytest.fixture(scope="module")
def vmlinux(image: BuiltImage) -> Vmlinux:
    return DebugPackages(default_cache()).install(image)


@pytest.fixture
def run(vmlinux: Vmlinux, runner: Runner) -> SuiteRun:
    return runner.run("--memory=1G", "-n1", f"--vmlinux={vmlinux.path}")


def test_both_judges_read_the_crash_and_the_report_has_what_they_say(run: SuiteRun) -> None:
    assert run.exit_status == 0, run.output
    judged = {name for name, verdict in run.verdicts.items() if "test_dump_analysis.py" in verdict.test}
    assert len(judged) == 5
    assert judged <= run.tests("passed"), run.output
    drgn, crash = (fact for fact in run.facts if isinstance(fact, Analysis))
    assert drgn.facts["crashed"] == crash.facts["crashed"]
    (backtrace,) = (section.text for section in drgn.sections if section.title == "backtrace")
    assert Trigger.SYSRQ_C.value.crashes_in in backtrace
    assert run.report is not None
    page = (run.report / "index.html").read_text()
    assert f"Analysis by {drgn.judge}" in page
    assert f"Analysis by {crash.judge}" in page
    assert "crash&gt; kmem -i" not in page  # folded by command, not a transcript
    assert "crash> kmem -i" in (run.report / crash.log).read_text()
    inspected(run, vmlinux=Path(drgn.vmlinux))


def inspected(run: SuiteRun, vmlinux: Path) -> None:
    """The same dump at a desk: with its own vmlinux, and with the kernel of another, which is refused."""
    (dump,) = (fact for fact in run.facts if isinstance(fact, Dump))
    assert run.report is not None
    (path,) = (run.report / file.local for file in dump.files if file.name.startswith("dump."))
    done = inspect(path, vmlinux)
    (told,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["analysis"]["crashed"]["comm"] == "sh"
    other = path.with_name("vmlinux-of-another-build")
    other.write_bytes(
        vmlinux.read_bytes().replace(bytes.fromhex(dump.build_id), bytes(len(dump.build_id) // 2))
    )
    refused = inspect(path, other)
    assert refused.returncode == 64
    assert dump.build_id in refused.stderr + refused.stdout
    other.unlink()


def inspect(dump: Path, vmlinux: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdump_tests", "inspect", "--json", dump, "--vmlinux", vmlinux],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
