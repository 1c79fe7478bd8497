"""Guests as a plan wants them: made and armed, or one host that exists; configured, with a dump server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kdump_tests.errors import BadInput, NotArmed
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.crashkernel_parameter import Choice, CrashkernelParameter
from kdump_tests.guest.facts import kernel_facts, witnesses
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.plan import Plan
from kdump_tests.report.folder import Report
from kdump_tests.session import publish
from kdump_tests.session.tier import Tier
from kdump_tests.stacks import STACKS, dump_disk
from kdump_tests.stacks import dump_server as dump_servers
from kdump_tests.stacks.boot_loader import value_in
from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.stacks.detection import detect, require
from kdump_tests.stacks.dump_server import DumpServer
from kdump_tests.stacks.stack import Stack, Written, unfit_for_a_host
from kdump_tests.stacks.topology import Topology
from kdump_tests.steps import Step, announce, step

# Of the reference machine: the boot has reached SSH, which on some systems is before kdump is loaded. el
# builds an initramfs at first, 80 s.
_SETTLE_SECONDS = 600.0
# A question of a second, unless a package has to be fetched and installed.
_INSTALL_SECONDS = 600.0
_RESERVE_SECONDS = 240.0


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
        stack = self.stack_of(guest)
        if guest.image.image.boots_by_firmware:
            _reserve(guest, stack)
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


def _reserve(guest: Guest, stack: Stack) -> None:
    """Set crashkernel= for good, where the guest's own boot loader finds it, and boot by that."""
    wanted = guest.spec.crashkernel
    until = guest.command_deadline()
    loader = stack.boot_loader(guest.shell, until)
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


@contextmanager
def provisioned(
    plan: Plan, report: Report, laboratory: Laboratory | Visit, wanted: GuestSpec
) -> Iterator[Tier]:
    """The guest of a memory tier, configured and armed as the plan has it, with what was found in it.

    Raises:
        LabError: it does not boot, is not let in, or could not be verified once it had crashed.
    """
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


def _as_configured(plan: Plan, stack: Stack, guest: Guest) -> Stack:
    """What is set in the guest counts too: a disk or a host that exists has a configuration of its own.

    Raises:
        BadInput: with it, nobody here could find a dump, or have the machine back.
    """
    set_there = stack.told(guest.shell, stack.settings, guest.command_deadline()) | plan.settings
    found = stack.configured(set_there)
    if found.elsewhere and plan.topology is Topology.LOCAL_DUMP:
        raise BadInput(
            f"kdump of {guest.name} is configured to take dumps to where nobody looks for them",
            it_says=found.elsewhere,
            way_out="--kdump-conf with a path on its own disk, or for guests any target that it names",
        )
    if plan.host and (unfit := stack.unfit_for_a_host(set_there, plan.settings)):
        raise unfit_for_a_host(guest.name, unfit)
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


@contextmanager
def _served(
    plan: Plan, report: Report, laboratory: Laboratory | Visit, client: Guest, stack: Stack
) -> Iterator[DumpServer | None]:
    """The second guest, to which a guest sends its dump: there, and let in to, before that one arms."""
    if stack.remote is None:
        yield None
        return
    assert isinstance(laboratory, Laboratory), "a plan for a host that exists has no dump server"
    lab, spec = laboratory.lab, dump_servers.spec_for(client.spec)
    image = ImageStore(default_cache()).get(dump_servers.IMAGE)
    with lab.guest(spec, image, report.guest_folder(spec.name), dump_servers.listens) as guest:
        report.record(publish.dump_server_booted(guest, kernel_facts(guest), client, report.folder))
        with step(guest.name, "becoming a dump server"):
            server = dump_servers.serve(guest, client, stack, lab.run.host_key, plan.nfs_version)
        yield server
