"""The suite as a pytest plugin: its options, its fixtures, and the report that grows as it runs."""

import argparse
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from kdump_tests.crash.crash import Crash, Unseen, crash_guest
from kdump_tests.crash.trigger import Trigger
from kdump_tests.crashkernel.probe import ask
from kdump_tests.crashkernel.reservation import Announcement, Reservation
from kdump_tests.errors import BadInput, LabError, NotArmed
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.crashkernel_parameter import Choice, CrashkernelParameter, choose
from kdump_tests.guest.facts import KernelFacts, Witnesses, kernel_facts, witnesses
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.laboratory import Places, opened
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.run import default_base
from kdump_tests.guest.spec import SMALLEST_MEMORY, GuestSpec
from kdump_tests.plan import Plan
from kdump_tests.report.folder import Report
from kdump_tests.session import hooks, publish
from kdump_tests.session.suite import SuiteSession
from kdump_tests.session.worker import Worker
from kdump_tests.sizes import format_size
from kdump_tests.stacks import STACKS, dump_disk
from kdump_tests.stacks import dump_server as dump_servers
from kdump_tests.stacks.boot_loader import value_in
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.stacks.detection import detect, require
from kdump_tests.stacks.dump_server import DumpServer
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import KdumpState, Mechanism, Stack, Written, as_configured
from kdump_tests.stacks.topology import Topology
from kdump_tests.stacks.visit import visited
from kdump_tests.steps import Step, announce, step
from kdump_tests.vmcore.analysis import Analysis
from kdump_tests.vmcore.crash_utility import Session
from kdump_tests.vmcore.debug_information import may_be_found
from kdump_tests.vmcore.judgement import Judgement, judge

_SUITE = Path(__file__).parent / "verification"
# Of the reference machine: the boot has reached SSH, which on some systems is before kdump is loaded. el
# builds an initramfs at first, 80 s.
_SETTLE_SECONDS = 600.0
# A question of a second, unless a package has to be fetched and installed.
_INSTALL_SECONDS = 600.0
_RESERVE_SECONDS = 240.0

_PLAN = pytest.StashKey[Plan]()
_SESSION = pytest.StashKey[SuiteSession]()
_WORKER = pytest.StashKey[Worker | None]()
_ANALYSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The choices that make a plan."""
    group = parser.getgroup("kdump-verify", "what to verify")
    group.addoption(
        "--image", metavar="NAME|PATH",
        help="guest image: a folder of images/, or a whole disk of yours (qcow2, raw, vmdk) with cloud-init "
             "(never written to); a path has a slash in it (default: debian-12)",
    )  # fmt: skip
    group.addoption(
        "--firmware", metavar="bios|uefi|secure-boot",
        help="what starts a disk that has a boot loader of its own (default: bios)",
    )  # fmt: skip
    group.addoption(
        "--stack", metavar="NAME|auto",
        help=f"which kdump the guests have: {', '.join(STACKS)} (installed where there is none), or 'auto' "
             "for whichever is installed (default: what the image's description says)",
    )  # fmt: skip
    group.addoption(
        "--memory", metavar="LIST",
        help="memory tiers, comma-separated; what the host cannot boot is probed, and the first one that is "
             "booted and promised a reservation is crashed (default: 1G,2G,4G,8G)",
    )  # fmt: skip
    group.addoption(
        "--crashkernel", metavar="VALUE",
        help="crashkernel= of the guests: any value the kernel takes, or 'none'; "
             "'auto' (default) becomes the distribution's own where the kernel does not know it",
    )  # fmt: skip
    group.addoption(
        "--policy", metavar="NAME|PATH.toml",
        help="what 'auto' becomes where the kernel does not know it: "
             "one that `kdump-verify expect --help` lists, or a file of your own",
    )  # fmt: skip
    group.addoption(
        "--kernel-argument", metavar="WORD", action="append", default=[],
        help="a further word for the guests' kernel command line; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--kdump-conf", metavar="PATH",
        help="how the guests' kdump is configured, in the language of /etc/kdump.conf whatever their "
             "distribution; what it has no word for is skipped by name. A target on a host called "
             "dump-server is a second guest",
    )  # fmt: skip
    group.addoption(
        "--kdump-setting", metavar="NAME=VALUE", action="append", default=[],
        help="a setting of the guests' kdump, in the words of its own configuration file; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--nfs-version", metavar="3|4", help="what the dump server of an NFS target speaks (default: 4)"
    )
    group.addoption(
        "--trigger", metavar="LIST|all",
        help=f"how the kernel is crashed, each time in a guest of its own: {', '.join(map(str, Trigger))} "
             "(default: sysrq-c)",
    )  # fmt: skip
    group.addoption(
        "--vmlinux", metavar="PATH",
        help="the guests' kernel with debug information, or a folder that holds it (default: looked for by "
             "its build ID; `kdump-verify image debuginfo NAME` fetches it)",
    )  # fmt: skip
    group.addoption(
        "--kernel", metavar="PATH",
        help="a kernel of yours for guests of an image of the project, with --modules and perhaps --initrd",
    )  # fmt: skip
    group.addoption(
        "--modules", metavar="DIR|PACKAGE",
        help="its modules: what `make modules_install INSTALL_MOD_PATH=DIR` fills, or a .deb or .rpm",
    )  # fmt: skip
    group.addoption(
        "--initrd", metavar="PATH", help="its initrd (default: made of --modules, in a guest, once)"
    )
    group.addoption(
        "--host", metavar="USER@NAME[:PORT]",
        help="verify a machine that exists, over SSH, not guests; only looked at without --allow-crash",
    )  # fmt: skip
    group.addoption(
        "--allow-crash", metavar="HOSTNAME",
        help="crash the machine of --host: its own hostname, spelled out; any other name ends the run",
    )  # fmt: skip
    group.addoption(
        "--allow-busy", action="store_true", help="crash it although users are logged in or --spare runs"
    )
    group.addoption(
        "--spare", metavar="SERVICE", action="append", default=[],
        help="do not crash the machine of --host while this service runs; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--identity", metavar="PATH", help="the key that opens the machine of --host (default: as for ssh)"
    )
    group.addoption(
        "--console", metavar="COMMAND",
        help="a command that shows the console of --host, as 'ipmitool … sol activate' does; without one "
             "the phases of a crash come from what it leaves",
    )  # fmt: skip
    group.addoption(
        "--patience", metavar="FACTOR",
        help="stretches the deadlines of --host (default: 1, by which it must be back within 40 minutes)",
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
    config.addinivalue_line(
        "markers", "topology(*where): a test for crashes whose dumps are kept there alone"
    )
    config.stash[_WORKER] = worker = Worker.of_this_process(config)
    if worker:
        config.pluginmanager.register(worker, "kdump-verify worker")
    try:
        plan = Plan.of(
            image=option.image,
            stack_name=option.stack,
            firmware=option.firmware,
            kernel=option.kernel,
            initrd=option.initrd,
            modules=option.modules,
            memory=option.memory,
            crashkernel=option.crashkernel,
            policy=option.policy,
            kernel_arguments=tuple(option.kernel_argument),
            vcpus=option.vcpus,
            accelerator=option.accel,
            connect=option.connect,
            host=option.host,
            allow_crash=option.allow_crash,
            allow_busy=option.allow_busy,
            spare=tuple(option.spare),
            identity=option.identity,
            console=option.console,
            patience=option.patience,
            cold=option.cold,
            vmlinux=option.vmlinux,
            triggers=option.trigger,
            nfs_version=option.nfs_version,
            kdump_conf=option.kdump_conf,
            kdump_settings=tuple(option.kdump_setting),
        )
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


@dataclass(frozen=True)
class Tier:
    """A guest of one memory tier, booted, and what was found in it."""

    guest: Guest
    stack: Stack
    parameter: CrashkernelParameter
    kernel: KernelFacts
    witnesses: Witnesses
    state: KdumpState
    dump_server: DumpServer | None  # None where dumps stay

    @property
    def kept(self) -> Reservation:
        """What its kernel keeps aside: by /proc/iomem, which has no CMA, and by the boot log."""
        return replace(self.witnesses.iomem, cma=self.witnesses.boot_log.reservation.cma)

    @property
    def expected(self) -> tuple[Reservation, ...]:
        """What it may keep aside, in the terms of ``kept``; nothing when that cannot be told beforehand."""
        told = self.witnesses.boot_log.as_told
        return tuple(replace(each, cma=told(each).cma) for each in self.parameter.expected)

    def __str__(self) -> str:
        return _shown(self.guest.spec, self.parameter)


@dataclass(frozen=True)
class ProbedTier:
    """What the kernel alone, booted just so far, says it keeps aside on the memory of one tier."""

    spec: GuestSpec
    parameter: CrashkernelParameter
    said: Announcement

    @property
    def kept(self) -> Reservation:
        """What it says that it keeps aside."""
        return self.said.reservation

    @property
    def expected(self) -> tuple[Reservation, ...]:
        """What it may say; nothing when that cannot be told beforehand."""
        return tuple(map(self.said.as_told, self.parameter.probed))

    def __str__(self) -> str:
        return _shown(self.spec, self.parameter)


def _shown(spec: GuestSpec, parameter: CrashkernelParameter) -> str:
    passed = "no crashkernel=" if parameter.passed is None else f"crashkernel={parameter.passed}"
    return f"{spec.name} ({format_size(spec.memory)}, {passed})"


@dataclass(frozen=True)
class Laboratory:
    """All that guests are made with and judged by."""

    lab: Lab
    image: BuiltImage
    required: Stack | None  # which kdump guests must have; None for whichever they have
    crashkernel: Choice
    settings: Mapping[str, str]
    makedumpfile: Makedumpfile | None  # as kdump.conf asks for it

    @contextmanager
    def guest(self, wanted: GuestSpec, folder: Path) -> Iterator[tuple[Guest, CrashkernelParameter]]:
        """A guest as it is wanted, and what its kernel was given."""
        parameter = self.crashkernel.on(wanted.memory)
        spec = replace(wanted, crashkernel=parameter.passed)
        with self.lab.guest(spec, self.image, folder, self.armed) as guest:
            yield guest, parameter

    def armed(self, guest: Guest) -> bool:
        """Whether kdump is, once a booted guest has done all it will do for it."""
        if guest.image.image.boots_by_firmware:
            self._reserve(guest)
        stack = self.stack_of(guest)
        stack.settle(guest.shell, guest.deadline(_SETTLE_SECONDS, "kdump is armed or has given up"))
        return stack.state(guest.shell, guest.command_deadline()).armed

    def stack_of(self, guest: Guest) -> Stack:
        """The kdump of a guest.

        Raises:
            BadInput: it is not the one that it must be, or none that is known.
        """
        until = guest.deadline(_INSTALL_SECONDS, "it has its kdump")
        if self.required is None:
            return detect(guest.shell, STACKS, until)
        require(guest.shell, self.required, STACKS, until)
        return self.required

    def _reserve(self, guest: Guest) -> None:
        """Set crashkernel= for good, where the guest's own boot loader finds it, and boot by that."""
        wanted = guest.spec.crashkernel
        until = guest.command_deadline()
        loader = self.stack_of(guest).boot_loader(guest.shell, until)
        # As where its package set it while it was installed, and this is the first boot since.
        if value_in(guest.read("/proc/cmdline")) == wanted == loader.reserved(guest.shell, until):
            return
        with step(guest.name, f"setting crashkernel={wanted} in its boot loader, and booting again"):
            until = guest.deadline(_RESERVE_SECONDS, "the boot loader is told")
            loader.reserve(guest.shell, wanted, until)
            guest.reboot()
        got = value_in(guest.read("/proc/cmdline"))
        if got != wanted:
            raise NotArmed(
                f"crashkernel={wanted}, set in the boot loader of {guest.name}, did not come through",
                kernel_got=f"crashkernel={got}" if got else "no crashkernel=",
                console=guest.console.record,
            )


@dataclass(frozen=True)
class Visit:
    """A laboratory whose one guest is a host that existed before."""

    host: Guest
    stack: Stack
    settings: Mapping[str, str]
    makedumpfile: Makedumpfile | None

    @contextmanager
    def guest(self, _wanted: GuestSpec, _folder: Path) -> Iterator[tuple[Guest, CrashkernelParameter]]:
        """That host, with what its boot loader gives its kernel."""
        passed = self.host.spec.crashkernel
        yield (
            self.host,
            CrashkernelParameter(
                "as it is", passed, "set on the host", unforeseen="its own memory map decides"
            ),
        )

    def stack_of(self, _guest: Guest) -> Stack:
        """What was found on it when it was entered."""
        return self.stack


def _as_configured(plan: Plan, stack: Stack, guest: Guest) -> Stack:
    """What is set in the guest counts too: a disk or a host that exists has a configuration of its own.

    Raises:
        BadInput: with it, nobody here could find a dump, or have the machine back.
    """
    found = as_configured(stack, guest.shell, plan.settings, guest.command_deadline())
    if found.elsewhere and plan.topology is Topology.LOCAL_DUMP:
        raise BadInput(
            f"kdump of {guest.name} is configured to take dumps to where nobody looks for them",
            it_says=found.elsewhere,
            way_out="--kdump-conf with a path on its own disk, or for guests any target that it names",
        )
    if plan.host and found.ends_with is not FinalAction.REBOOT:
        raise BadInput(
            f"{guest.name} is to {found.ends_with} after a dump, and its power switch is not ours",
            way_out="final_action reboot in --kdump-conf",
        )
    return found


def _write(stack: Stack, guest: Guest, settings: Mapping[str, str]) -> Written:
    """Give an armed guest other settings."""
    with step(guest.name, f"setting {', '.join(name for name, value in settings.items() if value)}"):
        return stack.write(guest.shell, settings, guest.command_deadline())


def _arm(stack: Stack, guest: Guest, written: Written) -> None:
    """Bring them into force."""
    if written.to_arm:
        until = guest.deadline(_SETTLE_SECONDS, "kdump is armed anew or has given up")
        with step(guest.name, "arming it anew"):
            stack.arm(guest.shell, written, until)
    announce(Step(guest.name, f"set {written}", seconds=0.0))


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
    wanted: GuestSpec = request.param
    folder = report.guest_folder(wanted.name)
    with laboratory.guest(wanted, folder) as (guest, parameter):
        stack = laboratory.stack_of(guest)
        if not plan.looks_only:
            stack = _as_configured(plan, stack, guest)
        if plan.mount:
            with step(guest.name, f"making {plan.mount.partition}"):
                dump_disk.prepare(guest, plan.mount)
        written = _write(stack, guest, plan.settings) if plan.settings else None
        with _served(plan, report, laboratory, guest, stack) as server:
            if written:
                _arm(stack, guest, written)
            seen = Tier(
                guest=guest,
                stack=stack,
                parameter=parameter,
                kernel=kernel_facts(guest),
                witnesses=witnesses(guest),
                state=stack.state(guest.shell, guest.command_deadline()),
                dump_server=server,
            )
            kdump = f"{stack.name}: {seen.state}"
            report.record(publish.guest_booted(guest, seen.kernel, parameter, kdump, report.folder))
            report.record(publish.reservation(guest, seen.kernel, parameter, seen.witnesses))
            yield seen


@contextmanager
def _served(
    plan: Plan, report: Report, laboratory: Laboratory, client: Guest, stack: Stack
) -> Iterator[DumpServer | None]:
    """The second guest, to which a guest sends its dump: there, and let in to, before that one arms."""
    if stack.remote is None:
        yield None
        return
    lab, spec = laboratory.lab, dump_servers.spec_for(client.spec)
    image = ImageStore(default_cache()).get(dump_servers.IMAGE)
    with lab.guest(spec, image, report.guest_folder(spec.name), dump_servers.listens) as guest:
        report.record(publish.dump_server_booted(guest, kernel_facts(guest), client, report.folder))
        with step(guest.name, "becoming a dump server"):
            server = dump_servers.serve(guest, client, stack, lab.run.host_key, plan.nfs_version)
        yield server


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
