"""One session of the suite: its report, its steps, its signals, and whether groups run side by side."""

import platform
import secrets
import time
import warnings
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.fleet.capacity import this_host
from kdump_tests.fleet.dask import local_engine
from kdump_tests.fleet.engine import Engine
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.crashkernel_parameter import Choice, choose
from kdump_tests.guest.hypervisor import library_version
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import QEMU, Lab
from kdump_tests.guest.laboratory import Places, opened, prepared
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import dead_runs, default_base, end, new_run
from kdump_tests.plan import Plan
from kdump_tests.report import facts
from kdump_tests.report.folder import Report
from kdump_tests.report.foreign import readable
from kdump_tests.report.terminal import verdict_table
from kdump_tests.session import publish
from kdump_tests.session.controller import Controller, worth_it
from kdump_tests.session.grouping import groups_of, spec_of
from kdump_tests.session.progress import Progress
from kdump_tests.session.signals import orderly
from kdump_tests.session.verdicts import Verdicts
from kdump_tests.session.worker import Worker
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.another_kernel import equipped, known
from kdump_tests.stacks.introduction import introduce, introduced
from kdump_tests.steps import Step, listening
from kdump_tests.subprocesses import run

_TOOK = "kdump-verify/seconds"


class SuiteSession:
    """What lives as long as the run: the report, the listeners, the signal handlers.

    In the process of a group, the report and the terminal are those of its controller.
    """

    def __init__(self, config: pytest.Config, plan: Plan, worker: Worker | None) -> None:
        self._config = config
        self._plan = plan
        self._worker = worker
        self._begun = time.monotonic()
        self.report = (
            self._worker.report
            if self._worker
            else Report.create(Path(config.option.reports).absolute(), _run_started(config, plan))
        )
        self.run_folder: Path | None = None
        self._engine: Engine | None = None
        self._progress = Progress(self._write_line)
        self._stack = ExitStack()
        self._signals = self._stack.enter_context(orderly(self._sweep))
        listener = self._worker.on_step if self._worker else self.show_step
        self._stack.enter_context(listening(listener))
        config.pluginmanager.register(Verdicts(self.report), "kdump-verify verdicts")

    def stop(self, error: LabError) -> NoReturn:
        """End the whole session: without a laboratory no test can be judged."""
        message = readable(f"{type(error).__name__}: {error}")
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

    def tell_prediction(self, chosen: Choice) -> None:
        """Keep what should be kept aside on all sizes of memory, once for all processes of the run."""
        told = any(isinstance(fact, facts.Prediction) for fact in self.report.facts)
        if not told and not self._worker:
            self.report.record(publish.prediction(chosen, self._plan.memory))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Groups side by side, when at least two can be; else pytest's own loop, in this process."""
        option = self._config.option
        alone = self._worker or option.side_by_side == 1 or option.usepdb or option.trace
        if alone or session.testsfailed or len({spec_of(item) for item in session.items} - {None}) < 2:
            return None
        plan, places = self._plan, Places(default_cache(), default_base())
        try:
            image, accelerator = prepared(places, plan.image, plan.accelerator)
            image = self._met_before(image) or self._meet(places)
            chosen = choose(plan.crashkernel, image, accelerator, places.cache, plan.policy)
        except LabError as error:
            self.stop(error)
        self.tell_accelerator(accelerator)
        self.tell_prediction(chosen)
        capacity = this_host(option.side_by_side)
        took = self._took()
        groups = groups_of(session.items, accelerator.name, capacity.cores, took)
        if not worth_it(groups, capacity):
            return None
        with new_run(places.runs, plan.connect) as ours, local_engine(capacity, ours.folder) as engine:
            self.run_folder, self._engine = ours.folder, engine
            controller = Controller(session, self, engine)
            try:
                controller.run(groups)
            finally:
                self._keep_took(took | controller.took)
        return True

    def _meet(self, places: Places) -> BuiltImage:
        """Here and once, rather than in every group."""
        plan = self._plan
        with opened(places, plan.image, plan.accelerator, plan.connect, meet=self.meet) as (_, image):
            return image

    def meet(self, lab: Lab, image: BuiltImage) -> BuiltImage:
        """What is on an image that boots by its own boot loader: as found before, else found in a guest.

        Raises:
            LabError: it does not boot, or there is no kdump to verify on it.
        """
        if known := self._met_before(image):
            return known
        self.run_folder = lab.run.folder
        plan = self._plan
        purpose = "kernel-swap" if plan.kernel_files else "first-boot"
        spec = replace(plan.spec(plan.booted(psutil.virtual_memory().total)[0], None), purpose=purpose)
        folder = self.report.guest_folder(spec.name)
        if plan.kernel_files:
            return equipped(image, plan.kernel_files, default_cache(), lab, spec, folder)
        return introduce(image, STACKS, plan.stack_name or "auto", default_cache(), lab, spec, folder)

    def _met_before(self, image: BuiltImage) -> BuiltImage | None:
        if self._plan.kernel_files:
            return known(image, self._plan.kernel_files, default_cache())
        if not image.image.boots_by_firmware:
            return image
        return introduced(image, self._plan.stack_name or "auto", default_cache())

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

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Whatever a signal cut short on the way out is done here; then give signals back."""
        if self._signals:
            # What was cut off in the middle is half done, and pytest would make an error of that now: status
            # 1, as if kdump did not work.
            warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
            warnings.simplefilter("ignore", pytest.PytestUnhandledThreadExceptionWarning)
        self._sweep()
        self._stack.close()

    def show_step(self, step: Step) -> None:
        """On the terminal, and when it has ended in the report."""
        self._progress(step)
        if step.seconds is not None:
            done = facts.StepDone(step.subject, step.what, step.at, round(step.seconds, 3), step.failed)
            self.report.record(done)

    def say(self, line: str) -> None:
        """On the terminal, with the time that has passed."""
        self._progress.say(line)

    def _write_line(self, line: str) -> None:
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

    def _took(self) -> dict[str, float]:
        """How long groups took when the same was asked before, in seconds by name."""
        kept = self._cache.get(_TOOK, {}) if self._cache else {}
        return dict(kept.get(self._plan.key, {}))

    def _keep_took(self, took: dict[str, float]) -> None:
        if self._cache:
            self._cache.set(_TOOK, {**self._cache.get(_TOOK, {}), self._plan.key: took})

    @property
    def _cache(self) -> pytest.Cache | None:
        return getattr(self._config, "cache", None)


def _run_started(config: pytest.Config, plan: Plan) -> facts.RunStarted:
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
        plan=plan.shown(),
    )


def _qemu_version() -> str:
    """As QEMU says it; a host without QEMU is told so when guests are needed."""
    try:
        said = run([QEMU, "--version"], Deadline.after(20, "QEMU says its version"))
    except LabError:
        return "none"
    return said.splitlines()[0].removeprefix("QEMU emulator version ")
