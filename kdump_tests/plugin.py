"""The suite as a pytest plugin: its options, its fixtures, and the report that grows as it runs."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from kdump_tests.crash.crash import Crash, Unseen, crash_guest
from kdump_tests.crashkernel.probe import ask
from kdump_tests.errors import LabError, NotArmed
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.crashkernel_parameter import choose
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.laboratory import Places, opened
from kdump_tests.guest.run import default_base
from kdump_tests.guest.spec import SMALLEST_MEMORY, GuestSpec
from kdump_tests.plan import Plan
from kdump_tests.session import hooks, options, publish
from kdump_tests.session.provision import Laboratory, Visit, provisioned
from kdump_tests.session.suite import SuiteSession
from kdump_tests.session.tier import ProbedTier, Tier
from kdump_tests.session.worker import Worker
from kdump_tests.sizes import format_size
from kdump_tests.stacks import STACKS, dump_disk
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.stacks.dump_server import DumpServer
from kdump_tests.stacks.stack import Mechanism, Stack
from kdump_tests.stacks.visit import visited
from kdump_tests.steps import step
from kdump_tests.vmcore.analysis import Analysis
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.debug_information import may_be_found
from kdump_tests.vmcore.judgement import Judgement, judge

_SUITE = Path(__file__).parent / "verification"

_PLAN = pytest.StashKey[Plan]()
_SESSION = pytest.StashKey[SuiteSession]()
_WORKER = pytest.StashKey[Worker | None]()
_ANALYSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The choices that make a plan."""
    options.add_to(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let others prepare the guest that is about to be crashed."""
    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(tryfirst=True)  # before plugins that ask whether this is a worker
def pytest_configure(config: pytest.Config) -> None:
    """Refuse a plan that cannot be carried out before anything else happens."""
    config.addinivalue_line(
        "markers", "topology(*where): a test for crashes whose dumps are kept there alone"
    )
    config.stash[_WORKER] = worker = Worker.of_this_process(config)
    if worker:
        config.pluginmanager.register(worker, "kdump-verify worker")
    try:
        plan = options.plan_of(config.option)
        plan.booted(psutil.virtual_memory().total)
    except LabError as error:
        _end(error)
    config.stash[_PLAN] = plan
    # Asked once: collecting asks for each file, and what is judged must not change on the way.
    config.stash[_ANALYSED] = _debug_information_may_be_here(plan)


def _end(error: LabError) -> NoReturn:
    """Before there is a session that could keep it."""
    pytest.exit(f"{type(error).__name__}: {error}", returncode=error.exit_code)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each memory tier that is booted for tests that look, one for those that crash, all for the probe."""
    plan = metafunc.config.stash[_PLAN]
    host = psutil.virtual_memory().total
    if "tier" in metafunc.fixturenames:
        _parametrize(metafunc, "tier", _tiers(metafunc.fixturenames, plan, host))
    if "probed" in metafunc.fixturenames:
        probed = () if plan.host else plan.memory
        _parametrize(metafunc, "probed", [plan.spec(memory, None) for memory in probed])
    if "untranslated" in metafunc.fixturenames:
        metafunc.parametrize("untranslated", plan.untranslated, ids=lambda each: each.option)


def _tiers(fixtures: Sequence[str], plan: Plan, host: int) -> list[GuestSpec]:
    dumping = {fixture: fixture == "crash" for fixture in ("crash", "lost_crash") if fixture in fixtures}
    if not dumping:
        return [plan.spec(memory, None) for memory in plan.booted(host)]
    return [spec for spec in plan.crashes(host) if plan.trigger(spec).dumps in dumping.values()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Nothing is said of guests that this plan does not have."""
    here = config.stash[_PLAN].topology
    marks = {item: item.get_closest_marker("topology") for item in items}
    elsewhere = [item for item, mark in marks.items() if mark and here not in mark.args]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing is said of a configuration, of crashes or of an account, that nobody asked for or keeps."""
    plan = config.stash[_PLAN]
    dumps = {trigger.dumps for trigger in plan.triggers}
    keeps_account = plan.stack is None or plan.stack.says_it_was_saved is not None
    keeps_so_many = plan.configured_stack is not None and plan.configured_stack.keeps is not None
    asked = {
        "test_configuration.py": bool(plan.settings),
        "test_untranslated.py": bool(plan.untranslated),
        "test_crash.py": True in dumps,
        "test_dump.py": True in dumps,
        "test_number_of_dumps.py": True in dumps and keeps_so_many,
        "test_account.py": True in dumps and keeps_account,
        "test_dump_analysis.py": True in dumps and config.stash[_ANALYSED],
        "test_lost_crash.py": False in dumps,
    }
    return (collection_path.parent == _SUITE and not asked.get(collection_path.name, True)) or None


def _debug_information_may_be_here(plan: Plan) -> bool:
    """Whether the dumps can be looked into with it, as far as that is known before their kernels are."""
    fetched_for = None if plan.host else plan.image
    return plan.vmlinux is not None or may_be_found(default_cache(), fetched_for)


def _way_to_debug_information(plan: Plan) -> str:
    fetched = plan.host is None and Image.load(plan.image).build is not None
    return f"{f'kdump-verify image debuginfo {plan.image}, or ' if fetched else ''}--vmlinux PATH"


def _parametrize(metafunc: pytest.Metafunc, fixture: str, specs: Sequence[GuestSpec]) -> None:
    metafunc.parametrize(fixture, specs, ids=[spec.name for spec in specs], indirect=True, scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin a report when anything of the suite is about to run."""
    config = session.config
    if config.option.collectonly or not any(_SUITE in item.path.parents for item in session.items):
        return
    try:
        config.stash[_SESSION] = SuiteSession(config, config.stash[_PLAN], config.stash[_WORKER])
    except LabError as error:
        _end(error)
    config.pluginmanager.register(config.stash[_SESSION], "kdump-verify session")


@pytest.fixture(scope="session")
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory | Visit]:
    """One for the whole run."""
    plan, session = request.config.stash[_PLAN], request.config.stash[_SESSION]
    if host := plan.visit:
        spec = plan.spec(SMALLEST_MEMORY, None)
        folder, run_id = session.report.guest_folder(spec.name), secrets.token_hex(4)
        with ExitStack() as stack:
            try:
                visit = visited(
                    host,
                    STACKS,
                    plan.stack_name or "auto",
                    spec,
                    folder,
                    run_id,
                    changes=bool(plan.settings),
                )
                guest, kdump = stack.enter_context(visit)
            except LabError as error:
                session.stop(error)
            session.tell_accelerator(host.accelerator)
            yield Visit(guest, kdump, plan.settings, _makedumpfile(plan))
        return
    places = Places(default_cache(), default_base())
    with ExitStack() as stack:
        try:
            opening = opened(
                places, plan.image, plan.accelerator, plan.connect, cold=plan.cold, meet=session.meet
            )
            lab, image = stack.enter_context(opening)
            session.run_folder = lab.run.folder
            chosen = choose(plan.crashkernel, image, lab.accelerator, places.cache, plan.policy)
        except LabError as error:
            session.stop(error)
        session.tell_accelerator(lab.accelerator)
        session.tell_prediction(chosen)
        required = _required(plan, image)
        yield Laboratory(lab, image, required, chosen, plan.settings, _makedumpfile(plan))


def _required(plan: Plan, image: BuiltImage) -> Stack | None:
    """As the plan has it; of an image that was met, what was found."""
    return plan.configured_stack or STACKS.get(image.image.stack or "")


def _makedumpfile(plan: Plan) -> Makedumpfile | None:
    collector = plan.configuration.core_collector if plan.configuration else None
    return collector if isinstance(collector, Makedumpfile) else None


@pytest.fixture(scope="session")
def tier(request: pytest.FixtureRequest, laboratory: Laboratory) -> Iterator[Tier]:
    """One guest per memory tier, for all tests of that tier."""
    plan, report = request.config.stash[_PLAN], request.config.stash[_SESSION].report
    with provisioned(plan, report, laboratory, request.param) as found:
        yield found


@pytest.fixture(scope="session")
def probed(request: pytest.FixtureRequest, laboratory: Laboratory) -> ProbedTier:
    """The kernel of the image, asked at the memory of one tier; no guest is booted."""
    session = request.config.stash[_SESSION]
    spec: GuestSpec = request.param
    kernel, accelerator = laboratory.image.kernel, laboratory.lab.accelerator
    parameter = laboratory.crashkernel.on(spec.memory)
    if kernel is None:
        pytest.skip(f"{spec.image} has no kernel outside its disk that could be probed")
    with step(spec.name, "ask the kernel alone what it keeps aside"):
        until = accelerator.deadline(
            60, f"the kernel says what it keeps aside on {format_size(spec.memory)}"
        )
        said = ask(kernel, parameter.passed, spec.memory, accelerator.name, until)
    session.report.record(publish.probed(spec, laboratory.image, parameter, said))
    return ProbedTier(spec, parameter, said)


@pytest.fixture(scope="session")
def dump_server(tier: Tier) -> DumpServer:
    """The second guest, to which the first one sends its dump."""
    assert tier.dump_server
    return tier.dump_server


@pytest.fixture(scope="session")
def crash(request: pytest.FixtureRequest, laboratory: Laboratory, tier: Tier) -> Crash:
    """One crash that must leave a dump, for all tests: they only look."""
    return _crash(request, laboratory, tier)


@pytest.fixture(scope="session")
def lost_crash(request: pytest.FixtureRequest, laboratory: Laboratory, tier: Tier) -> Crash:
    """One crash that cannot leave a dump, for all tests: they only look."""
    return _crash(request, laboratory, tier)


def _crash(request: pytest.FixtureRequest, laboratory: Laboratory, tier: Tier) -> Crash:
    plan, report = request.config.stash[_PLAN], request.config.stash[_SESSION].report
    if plan.looks_only:
        pytest.skip(
            f"{tier.guest.name} is only looked at: --allow-crash with its own hostname would crash it"
        )
    if not tier.state.armed:
        raise NotArmed(
            f"{tier.guest.name} was not crashed: no capture kernel is loaded, nothing would be saved",
            service=tier.state,
            it_says=tier.state.said,
            console=tier.guest.console.record,
        )
    trigger = plan.trigger(tier.guest.spec)
    if impossible := trigger.impossible_because(tier.guest):
        pytest.skip(impossible)
    if tier.state.mechanism is Mechanism.FADUMP:
        pytest.skip(
            f"{tier.guest.name} is armed by fadump, which no guest of this suite can be crashed with"
        )
    server = tier.dump_server
    request.config.hook.pytest_kdump_before_crash(guest=tier.guest, dump_server=server)
    if plan.visit:  # somebody may have come since it was entered
        plan.visit.consent.check(tier.guest.shell, tier.guest.command_deadline())
    keeper = server.guest if server else None
    try:
        happened = crash_guest(tier.guest, tier.kernel, tier.stack, trigger, keeper)
    except Unseen as unseen:
        pytest.skip(str(unseen))
    report.record(publish.crash(happened))
    if dump := publish.dump(happened, report.folder):
        report.record(dump)
        if not request.config.stash[_ANALYSED]:
            report.record(publish.not_judged(happened, _way_to_debug_information(plan)))
    for remark in publish.remarks(happened):
        report.record(remark)
    for finding in publish.captured_but(happened):
        report.record(finding)
    return happened


@pytest.fixture(scope="session")
def judgement(request: pytest.FixtureRequest, crash: Crash) -> Judgement:
    """The dump, read by both judges if its debug information is at hand."""
    plan, report = request.config.stash[_PLAN], request.config.stash[_SESSION].report
    vmcore = crash.dump.vmcore
    with step(crash.guest, "reading the vmcore with debug information"):
        judged = judge(vmcore, default_cache(), plan.vmlinux, second=True)
    if judged.session:
        (crash.log_folder / publish.CRASH_LOG).write_text(judged.session.transcript)
    for fact in publish.judged(crash, judged, report.folder):
        report.record(fact)
    return judged


@pytest.fixture(scope="session")
def analysis(request: pytest.FixtureRequest, judgement: Judgement) -> Analysis:
    """What drgn tells of the dump."""
    if judgement.trouble:
        raise judgement.trouble
    if judgement.analysis is None:
        way_out = _way_to_debug_information(request.config.stash[_PLAN])
        pytest.skip(f"not judged: {judgement.not_judged}. Way out: {way_out}")
    return judgement.analysis


@pytest.fixture(scope="session")
def second_judge(analysis: Analysis, judgement: Judgement) -> Session:
    """What crash(8) tells of the dump."""
    session = judgement.session
    if session is None:
        pytest.skip(f"no second judge: {judgement.no_second}")
    if session.failure:
        pytest.skip(f"no second judge, though {analysis.reader} reads the dump: {session.failure}")
    return session


@pytest.fixture(scope="session")
def stack(tier: Tier) -> Stack:
    """The kdump implementation of the guest."""
    return tier.stack


@pytest.fixture(scope="session")
def mount(request: pytest.FixtureRequest) -> dump_disk.Mount | None:
    """The disk that dumps are saved to, where there is one."""
    return request.config.stash[_PLAN].mount


@pytest.fixture(scope="session")
def collector(laboratory: Laboratory) -> Makedumpfile:
    """How makedumpfile was asked to be called; else there is nothing to hold a dump against."""
    if laboratory.makedumpfile is None:
        pytest.skip("no options of makedumpfile were asked for in kdump.conf")
    return laboratory.makedumpfile
