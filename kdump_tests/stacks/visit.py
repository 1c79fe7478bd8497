"""An existing host for the time of a run: entered, asked, and left as it was found."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.host import Address, Consent, console_by, kept
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.machine import COME_BACK_SECONDS, Guest
from kdump_tests.guest.shell import Shell
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import KIB, MIB
from kdump_tests.stacks.boot_loader import value_in
from kdump_tests.stacks.detection import detect, installed
from kdump_tests.stacks.stack import Stack
from kdump_tests.steps import step

_LOGIN_SECONDS = 120.0
_REARM_SECONDS = 600.0


@dataclass(frozen=True)
class Host:
    """A host as the user names it. ``patience`` stretches every deadline: by 1, it is back in 40 minutes."""

    address: Address
    consent: Consent
    identity: Path | None
    console: str | None
    patience: float

    @property
    def accelerator(self) -> Accelerator:
        """What stands for one where nothing is emulated."""
        return Accelerator("host", "an existing host", self.patience)


@contextmanager
def visited(
    host: Host,
    stacks: Mapping[str, Stack],
    stack_name: str,
    spec: GuestSpec,
    folder: Path,
    run_id: str,
    *,
    changes: bool,
) -> Iterator[tuple[Guest, Stack]]:
    """The host, as a guest that was not made by us, and its kdump.

    With ``changes`` to come, its configuration is saved first and put back at the end, however that comes.

    Raises:
        BadInput: it is not the one spelled out, somebody needs it, or there is no kdump on it.
        GuestNotReached: it cannot be entered.
        LabError: its configuration could not be saved, or not be put back.
    """
    until = host.accelerator.deadline(_LOGIN_SECONDS, f"{host.address.name} answers")
    with ExitStack() as ends:
        shell = Shell(host.address.login(host.identity), folder / "commands.log")
        ends.callback(shell.close)
        with step(spec.name, "entering the host"):
            shell.connect(until, lambda: None)
            host.consent.check(shell, until)
            name = _kdump_of(shell, stacks, stack_name, until)
        stack = stacks[name]
        image = BuiltImage(_described(spec, name), folder, "", "", None, ())
        console = ends.enter_context(console_by(host.console, folder / "console.log"))
        if changes:
            ends.callback(lambda: _settled(shell, stack, host))
            ends.enter_context(kept(shell, spec.name, stack.files, run_id, until, lambda: _back(host)))
        yield (
            Guest(
                name=spec.name,
                spec=replace(
                    spec,
                    memory=_memory(shell, until),
                    crashkernel=_crashkernel(shell, until),
                    vcpus=_cpus(shell, until),
                ),
                image=image,
                accelerator=host.accelerator,
                console=console,
                shell=shell,
                files=None,
                folder=folder,
                root_disk=None,
                has_console=host.console is not None,
                origin_because="it existed before",
            ),
            stack,
        )


def _back(host: Host) -> Deadline:
    return host.accelerator.deadline(COME_BACK_SECONDS, "the host is back, and its configuration with it")


def _settled(shell: Shell, stack: Stack, host: Host) -> None:
    """Armed by the configuration that was put back."""
    until = host.accelerator.deadline(_REARM_SECONDS, "kdump is armed as it was before")
    stack.restart(shell, until)
    stack.settle(shell, until)


def _kdump_of(shell: Shell, stacks: Mapping[str, Stack], asked: str, until: Deadline) -> str:
    """What is installed: on a host that exists nothing is."""
    if asked in installed(shell, stacks, until):
        return asked
    found = detect(shell, stacks, until)
    if asked in stacks:
        raise BadInput(f"kdump of this host is not {asked}", found=found.name)
    return found.name


def _described(spec: GuestSpec, stack: str) -> Image:
    """As an image whose disk is brought: it is in the machine."""
    told = {
        "name": spec.image,
        "description": "An existing host",
        "distribution": spec.image,
        "stack": stack,
    }
    return Image.model_validate({**told, "architecture": "x86_64", "boot": {}, "disk": "/"})


def _memory(shell: Shell, until: Deadline) -> int:
    """Bytes that its kernel manages, up to a MiB: less than it has, by what firmware and kernel keep."""
    words = shell.run("grep", "-m", "1", "^MemTotal:", "/proc/meminfo", until=until).split()
    if len(words) != 3 or not words[1].isdecimal():
        raise BadInput("the host tells of its memory in an unknown form", said=" ".join(words)[:80])
    return -(-int(words[1]) * KIB // MIB) * MIB


def _cpus(shell: Shell, until: Deadline) -> int:
    """Those that are online: a trigger may be pulled on the last of them."""
    said = shell.run("nproc", until=until).strip()
    if not re.fullmatch("[1-9][0-9]{0,4}", said):
        raise BadInput("the host tells of its CPUs in an unknown form", said=said[:80])
    return int(said)


def _crashkernel(shell: Shell, until: Deadline) -> str | None:
    return value_in(shell.run("cat", "/proc/cmdline", until=until))
