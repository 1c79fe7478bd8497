"""The suite as a pytest plugin: its options, its fixtures, and the report that grows as it runs."""

import argparse
import platform
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from kdump_tests.crash.crash import Crash, crash_guest
from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError, NotArmed
from kdump_tests.fleet.capacity import this_host
from kdump_tests.fleet.dask import local_engine
from kdump_tests.fleet.engine import Engine
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.crashkernel_parameter import CrashkernelParameter, choose
from kdump_tests.guest.facts import KernelFacts, Witnesses, kernel_facts, witnesses
from kdump_tests.guest.hypervisor import library_version
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.laboratory import QEMU, Places, opened, prepared
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import dead_runs, default_base, end
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.plan import Plan
from kdump_tests.report import facts
from kdump_tests.report.folder import Report
from kdump_tests.report.terminal import verdict_table
from kdump_tests.session import hooks, publish
from kdump_tests.session.controller import Controller, worth_it
from kdump_tests.session.grouping import groups_of
from kdump_tests.session.progress import Progress
from kdump_tests.session.signals import orderly
from kdump_tests.session.verdicts import Verdicts
from kdump_tests.session.worker import Worker
from kdump_tests.sizes import format_size
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.stack import KdumpState, Stack, check_settings
from kdump_tests.steps import Step, announce, listening, step
from kdump_tests.subprocesses import run

_SUITE = Path(__file__).parent / "verification"
# Of the reference machine: the boot has reached SSH, which on some systems is before kdump is loaded.
_SETTLE_SECONDS = 240.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """The choices that make a plan."""
    group = parser.getgroup("kdump-verify", "what to verify")
    group.addoption("--image", metavar="NAME", help="guest image, a folder of images/ (default: debian-12)")
    group.addoption(
        "--memory", metavar="LIST", default="1G,2G,4G",
        help="memory tiers, comma-separated; the first one's guest is crashed (default: %(default)s)",
    )  # fmt: skip
    group.addoption(
        "--crashkernel", metavar="VALUE",
        help="crashkernel= of the guests: any value the kernel takes, or 'none'; "
             "'auto' (default) becomes the distribution's own where the kernel does not know it",
    )  # fmt: skip
    group.addoption(
        "--kernel-argument", metavar="WORD", action="append", default=[],
        help="a further word for the guests' kernel command line; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--kdump-setting", metavar="NAME=VALUE", action="append", default=[],
        help="a setting of the guests' kdump, in the words of its own configuration file; may be repeated",
    )  # fmt: skip
    group.addoption("--vcpus", metavar="N", help="CPUs of each guest (default: 1)")
    group.addoption(
        "--accel", metavar="auto|kvm|tcg",
        help="'auto' (default) takes KVM if a kernel boots under it, else TCG",
    )  # fmt: skip
    group.addoption(
        "--cold", action="store_true",
        help="boot every guest, instead of forking it from the state of one that was armed before",
    )  # fmt: skip
    group.addoption(
        "--connect", metavar="URI", help="libvirt (default: qemu:///embed, which needs no daemon)"
    )
    # pytest keeps short options of one small letter to itself; this one is what pytest-xdist made usual.
    group._addoption(
        "-n", "--side-by-side", metavar="N", type=_positive, default=None,
        help="at most so many guests at once (default: as many as this host has cores and memory for)",
    )  # fmt: skip
    group.addoption(
        "--reports", metavar="DIR", default="reports", help="where reports go (default: %(default)s)"
    )


def _positive(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of guests: 1, 2, 3, … or auto")
    return int(text)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let others prepare the guest that is about to be crashed."""
    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(tryfirst=True)  # before plugins that ask whether this is a worker
def pytest_configure(config: pytest.Config) -> None:
    """Refuse a plan that cannot be carried out before anything else happens."""
    option = config.option
    config.stash[_WORKER] = worker = Worker.of_this_process(config)
    if worker:
        config.pluginmanager.register(worker, "kdump-verify worker")
    try:
        plan = Plan.of(
            image=option.image,
            memory=option.memory,
            crashkernel=option.crashkernel,
            kernel_arguments=tuple(option.kernel_argument),
            vcpus=option.vcpus,
            accelerator=option.accel,
            connect=option.connect,
            cold=option.cold,
            kdump_settings=tuple(option.kdump_setting),
        )
        check_settings(STACKS[Image.load(plan.image).stack], plan.kdump_settings)
    except LabError as error:
        pytest.exit(f"{type(error).__name__}: {error}", returncode=error.exit_code)
    config.stash[_PLAN] = plan


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every memory tier for tests that look; the first alone for those that crash."""
    if "tier" in metafunc.fixturenames:
        plan = metafunc.config.stash[_PLAN]
        crashes = "crash" in metafunc.fixturenames
        specs = [plan.spec(memory, None) for memory in (plan.memory[:1] if crashes else plan.memory)]
        metafunc.parametrize(
            "tier", specs, ids=[spec.name for spec in specs], indirect=True, scope="session"
        )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin a report when anything of the suite is about to run."""
    config = session.config
    if config.option.collectonly or not any(_SUITE in item.path.parents for item in session.items):
        return
    config.pluginmanager.register(_Session(config), "kdump-verify session")


class _Session:
    """What lives as long as the run: the report, the listeners, the signal handlers.

    In the process of a group, the report and the terminal are those of its controller.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._begun = time.monotonic()
        self._worker = config.stash[_WORKER]
        self.report = (
            self._worker.report
            if self._worker
            else Report.create(Path(config.option.reports).absolute(), _run_started(config))
        )
        self.run_folder: Path | None = None
        self._engine: Engine | None = None
        self._progress = Progress(self.show_line)
        self._stack = ExitStack()
        self._stack.enter_context(orderly(self._sweep))
        listener = self._worker.on_step if self._worker else self.show_step
        self._stack.enter_context(listening(listener))
        config.stash[_SESSION] = self
        config.pluginmanager.register(Verdicts(self.report), "kdump-verify verdicts")

    def stop(self, error: LabError) -> NoReturn:
        """End the whole session: without a laboratory no test can be judged."""
        message = f"{type(error).__name__}: {error}"
        if self._worker:
            self._worker.tell("stopped", {"message": message, "exit_code": error.exit_code})
        else:
            self.report.record(facts.Verdict("laboratory", "error", 0.0, message))
        pytest.exit(message, returncode=error.exit_code)

    def tell_accelerator(self, chosen: Accelerator) -> None:
        """Keep what the guests run on, once for all processes of the run."""
        told = any(isinstance(fact, facts.Accelerator) for fact in self.report.facts)
        if not told and not self._worker:
            self.report.record(facts.Accelerator(chosen.name, chosen.because, chosen.factor))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Groups side by side, when at least two can be; else pytest's own loop, in this process."""
        option = self._config.option
        alone = self._worker or option.side_by_side == 1 or option.usepdb or option.trace
        if alone or session.testsfailed or len({_guest(item) for item in session.items}) < 2:
            return None
        plan, places = self._config.stash[_PLAN], Places(default_cache(), default_base())
        try:
            image, accelerator = prepared(places, plan.image, plan.accelerator)
            choose(plan.crashkernel, image, accelerator, places.cache)
        except LabError as error:
            self.stop(error)
        self.tell_accelerator(accelerator)
        capacity = this_host(option.side_by_side)
        took = self._took(plan)
        groups = groups_of(session.items, accelerator.name, capacity.cores, took)
        if not worth_it(groups, capacity):
            return None
        with local_engine(capacity) as self._engine:
            controller = Controller(session, self, self._engine)
            try:
                controller.run(groups)
            finally:
                self._keep_took(plan, took | controller.took)
        self._engine = None
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The guests are gone by now: the last word of the report."""
        status = int(session.exitstatus)
        if not self._worker:
            self.report.record(facts.RunEnded(time.time(), status, round(time.monotonic() - self._begun, 1)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The verdicts, and where all the rest is."""
        if self._worker:
            return
        terminalreporter.section("verdict")
        terminalreporter.write_line(verdict_table(self.report.facts))
        terminalreporter.write_line(f"report: {self.report.page}")

    def pytest_unconfigure(self) -> None:
        """Whatever a signal cut short on the way out is done here; then give signals back."""
        self._sweep()
        self._stack.close()

    def show_step(self, step: Step) -> None:
        """On the terminal, and when it has ended in the report."""
        self._progress(step)
        if step.seconds is not None:
            done = facts.StepDone(step.subject, step.what, step.at, round(step.seconds, 3), step.failed)
            self.report.record(done)

    def show_line(self, line: str) -> None:
        """On the terminal, amid what pytest writes there."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(line)

    def reap(self) -> None:
        """Remove the guests of processes of ours that died; of others' too, as every start does."""
        reap(default_base(), default_cache())

    def _sweep(self) -> None:
        # Says nothing and records nothing: a signal may have interrupted that.
        if self._engine:
            self._engine.kill()
            for folder, _ in dead_runs(default_base()):
                end(folder)
        if self.run_folder:
            end(self.run_folder)

    def _took(self, plan: Plan) -> dict[str, float]:
        """How long groups took when the same was asked before, in seconds by name."""
        kept = self._cache.get(_TOOK, {}) if self._cache else {}
        return dict(kept.get(plan.key, {}))

    def _keep_took(self, plan: Plan, took: dict[str, float]) -> None:
        if self._cache:
            self._cache.set(_TOOK, {**self._cache.get(_TOOK, {}), plan.key: took})

    @property
    def _cache(self) -> pytest.Cache | None:
        return getattr(self._config, "cache", None)


_TOOK = "kdump-verify/seconds"
_PLAN = pytest.StashKey[Plan]()
_SESSION = pytest.StashKey[_Session]()
_WORKER = pytest.StashKey[Worker | None]()


@dataclass(frozen=True)
class Tier:
    """A guest of one memory tier, booted, and what was found in it."""

    guest: Guest
    parameter: CrashkernelParameter
    kernel: KernelFacts
    witnesses: Witnesses
    state: KdumpState

    @property
    def expected(self) -> Reservation | None:
        """What its kernel should have kept aside; None when that cannot be told beforehand."""
        return self.parameter.expected(self.guest.spec.memory)

    def __str__(self) -> str:
        passed = (
            "no crashkernel=" if self.parameter.passed is None else f"crashkernel={self.parameter.passed}"
        )
        return f"{self.guest.name} ({format_size(self.guest.spec.memory)}, {passed})"


@dataclass(frozen=True)
class Laboratory:
    """All that guests are made with and judged by."""

    lab: Lab
    image: BuiltImage
    stack: Stack
    parameter: CrashkernelParameter

    def armed(self, guest: Guest) -> bool:
        """Whether kdump is, once a booted guest has done all it will do for it."""
        until = guest.deadline(_SETTLE_SECONDS, "kdump is armed or has given up")
        self.stack.settle(guest.shell, until)
        return self.stack.state(guest.shell, guest.command_deadline()).armed

    def configure(self, guest: Guest, settings: Mapping[str, str]) -> None:
        """Give an armed guest other settings, and arm it anew if these need it."""
        with step(guest.name, f"setting {', '.join(settings)}"):
            rearmed = self.stack.configure(guest.shell, settings, guest.command_deadline())
        announce(Step(guest.name, f"set {rearmed}", seconds=0.0))


@pytest.fixture(scope="session")
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """One for the whole run."""
    plan, session = request.config.stash[_PLAN], request.config.stash[_SESSION]
    places = Places(default_cache(), default_base())
    with ExitStack() as stack:
        try:
            opening = opened(places, plan.image, plan.accelerator, plan.connect, cold=plan.cold)
            lab, image = stack.enter_context(opening)
            session.run_folder = lab.run.folder
            parameter = choose(plan.crashkernel, image, lab.accelerator, places.cache)
        except LabError as error:
            session.stop(error)
        session.tell_accelerator(lab.accelerator)
        yield Laboratory(lab, image, STACKS[image.image.stack], parameter)


@pytest.fixture(scope="session")
def tier(request: pytest.FixtureRequest, laboratory: Laboratory) -> Iterator[Tier]:
    """One guest per memory tier, for all tests of that tier."""
    plan, report = request.config.stash[_PLAN], request.config.stash[_SESSION].report
    wanted: GuestSpec = request.param
    parameter = laboratory.parameter
    spec = plan.spec(wanted.memory, parameter.passed)
    folder = report.guest_folder(spec.name)
    with laboratory.lab.guest(spec, laboratory.image, folder, laboratory.armed) as guest:
        if plan.kdump_settings:
            laboratory.configure(guest, plan.kdump_settings)
        seen = Tier(
            guest=guest,
            parameter=parameter,
            kernel=kernel_facts(guest),
            witnesses=witnesses(guest),
            state=laboratory.stack.state(guest.shell, guest.command_deadline()),
        )
        report.record(publish.guest_booted(guest, seen.kernel, parameter, report.folder))
        report.record(publish.reservation(guest, parameter, seen.witnesses))
        yield seen


@pytest.fixture(scope="session")
def crash(request: pytest.FixtureRequest, laboratory: Laboratory, tier: Tier) -> Crash:
    """One crash for all tests: they only look."""
    plan, report = request.config.stash[_PLAN], request.config.stash[_SESSION].report
    if not tier.state.armed:
        raise NotArmed(
            f"{tier.guest.name} was not crashed: no capture kernel is loaded, nothing would be saved",
            service=f"{tier.state.service} is {tier.state.active} ({tier.state.enabled})",
            it_says=tier.state.said,
            console=tier.guest.console.record,
        )
    request.config.hook.pytest_kdump_before_crash(guest=tier.guest)
    happened = crash_guest(tier.guest, tier.kernel, laboratory.stack, plan.trigger)
    report.record(publish.crash(happened))
    if dump := publish.dump(happened, report.folder):
        report.record(dump)
    return happened


@pytest.fixture(scope="session")
def stack(laboratory: Laboratory) -> Stack:
    """The kdump implementation of the image."""
    return laboratory.stack


def _guest(item: pytest.Item) -> object:
    """What the guest of a test is known by, before there is one."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("tier") if callspec else None


def _run_started(config: pytest.Config) -> facts.RunStarted:
    return facts.RunStarted(
        id=secrets.token_hex(2),
        at=time.time(),
        command=("pytest", *config.invocation_params.args),
        versions={
            "python": platform.python_version(),
            "libvirt": library_version(),
            "qemu": _qemu_version(),
            **{
                name: metadata.version(name) for name in ("kdump-verify", "pytest", "libvirt-python", "drgn")
            },
        },
        host={
            "hostname": platform.node(),
            "kernel": platform.release(),
            "cpus": str(psutil.cpu_count()),
            "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        },
        plan=config.stash[_PLAN].shown(),
    )


def _qemu_version() -> str:
    """As QEMU says it; a host without QEMU is told so when guests are needed."""
    try:
        said = run([QEMU, "--version"], Deadline.after(20, "QEMU says its version"))
    except LabError:
        return "none"
    return said.splitlines()[0].removeprefix("QEMU emulator version ")
