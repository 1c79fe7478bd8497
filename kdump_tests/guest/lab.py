"""Where guests are made: booted cold, or forked from a state that was saved before. Gone at the end."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import HypervisorError, LabError
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.adoption import adopt
from kdump_tests.guest.cache import remove_tree, require_space
from kdump_tests.guest.console import Console
from kdump_tests.guest.domain import Wiring, domain_xml
from kdump_tests.guest.file_channel import FileChannel
from kdump_tests.guest.hypervisor import Domain, Hypervisor
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.machine import Guest, Origin
from kdump_tests.guest.run import Run
from kdump_tests.guest.saved_state import SavedState, SavedStates, digest, move
from kdump_tests.guest.seed import write_seed
from kdump_tests.guest.shell import Login, Shell
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB
from kdump_tests.steps import step
from kdump_tests.subprocesses import run as run_program

# Seconds of the reference machine (see accelerator.py). Saving takes 2, restoring 1 and a login 1.
_START_SECONDS = 60.0
_SAVE_SECONDS = 120.0
_LOGIN_SECONDS = 60.0
# Whoever waits for a state waits for a cold boot and its saving.
_MAKE_SECONDS = 600.0
# Of another's machine for two boots, and its boot loader's configuration being made anew in between.
_OWN_MAKE_SECONDS = 1800.0
# An overlay that takes a boot, a full dump of a small guest, and logs.
_NEEDED_SPACE = 1 * GIB

_ROOT = "root.qcow2"
QEMU = "qemu-system-x86_64"

# Whether kdump of a booted guest is armed, once its boot is over.
Armed = Callable[[Guest], bool]


@dataclass(frozen=True)
class _Seat:
    """A guest and what it hangs on."""

    guest: Guest
    domain: Domain
    wiring: Wiring


@dataclass
class Lab:
    """One run, one hypervisor, one accelerator. Without ``states`` every guest boots cold."""

    run: Run
    hypervisor: Hypervisor
    accelerator: Accelerator
    states: SavedStates | None = None
    _count: int = 0

    @contextmanager
    def guest(
        self, spec: GuestSpec, image: BuiltImage, folder: Path, armed: Armed | None = None
    ) -> Iterator[Guest]:
        """A guest that answers by SSH. ``folder`` gets its console and all else that a report keeps.

        With ``armed`` it may be a fork of a guest that was found armed after a cold boot of its own, once
        for this very spec, image, and all else that made it; if there is none yet, it is made.
        """
        require_space(self.run.folder, _NEEDED_SPACE, f"the disk of {spec.name}")
        with ExitStack() as stack:
            # UEFI's XML names no loader: libvirt 9.0.0 dies of that as it restores (virDomainRestoreFlags).
            by_uefi = image.image.boots_by_firmware and spec.firmware != "bios"
            if self.states is None or armed is None or by_uefi:
                because = "asked for" if self.states is None else "it starts by UEFI" if by_uefi else ""
                yield self._settled(stack, spec, image, folder, because, armed)
            else:
                yield self._fork(stack, self.states, spec, image, folder, armed)

    def _fork(
        self, stack: ExitStack, states: SavedStates, spec: GuestSpec, image: BuiltImage, folder: Path,
        armed: Armed,
    ) -> Guest:  # fmt: skip
        key = digest(self._made_of(spec, image))
        seconds = _OWN_MAKE_SECONDS if image.image.boots_by_firmware else _MAKE_SECONDS
        until = self.accelerator.deadline(seconds, f"the saved state of {spec.name} is made")
        damaged = "; the one found before was damaged" if states.is_damaged(key) else ""
        if states.find(key) is None:
            with states.making(key, until):
                if states.find(key) is None and (
                    guest := self._make(stack, states, key, spec, image, folder, armed)
                ):
                    return guest
        fault = None
        until = self.accelerator.deadline(_SAVE_SECONDS, f"the saved state of {spec.name} is at hand")
        with states.using(key, until) as state:
            if state is None:
                because = "its saved state is gone"
            elif self.hypervisor.has(state.name, until):
                because = "another guest of the same saved state runs on this libvirt"
            else:
                try:
                    guest = self._restore(stack, state, spec, image, folder)
                    guest.origin_because += damaged
                    states.used(key)
                    return guest
                except LabError as error:
                    fault = error
                    because = f"its saved state was thrown away: {_in_short(error)}"
        if fault:
            states.discard(key, until)
        return self._settled(stack, spec, image, folder, because, armed)

    def _settled(
        self, stack: ExitStack, spec: GuestSpec, image: BuiltImage, folder: Path, because: str,
        armed: Armed | None,
    ) -> Guest:  # fmt: skip
        """A guest that booted and did all it will do for kdump, well or badly."""
        guest = self._boot(stack, spec, image, folder, because).guest
        if armed:
            armed(guest)
        return guest

    def _make(
        self, stack: ExitStack, states: SavedStates, key: str, spec: GuestSpec, image: BuiltImage,
        folder: Path, armed: Armed,
    ) -> Guest | None:  # fmt: skip
        """Boot a guest and save it. None when it is saved, and gone; else the guest that runs on."""
        with ExitStack() as cold:
            seat = self._boot(cold, spec, image, folder, "")
            if armed(seat.guest):
                try:
                    self._save(states, key, seat)
                except (LabError, OSError) as error:
                    seat.guest.origin_because = f"it could not be saved: {_in_short(error)}"
                else:
                    return None
            else:
                seat.guest.origin_because = "kdump is not armed after a cold boot, so no state was saved"
            if seat.guest.console.closed:
                return None
            until = self.accelerator.deadline(_LOGIN_SECONDS, f"SSH of {spec.name} answers again")
            seat.guest.shell.connect(until, seat.guest.require_alive)
            stack.enter_context(cold.pop_all())
        return seat.guest

    def _save(self, states: SavedStates, key: str, seat: _Seat) -> None:
        guest = seat.guest
        guest.shell.close()
        until = guest.deadline(_SAVE_SECONDS, "its state is saved")
        disks = (seat.wiring.root_disk, *seat.wiring.disks)
        need = seat.domain.real_memory(until) + sum(disk.stat().st_size for disk in disks)
        require_space(states.root, need, f"the saved state of {guest.name}")
        with step(guest.name, "saving the armed guest"), states.new(key) as new:
            seat.domain.save(new / "memory", until)
            for disk in disks:
                move(disk, new)
            shutil.copyfile(guest.console.record, new / "console.log")
            state = SavedState(
                new, seat.domain.name, time.time(), guest.boot_seconds, self.run.guest_key, self.run.host_key
            )
            states.keep(key, state)

    def _restore(
        self, stack: ExitStack, state: SavedState, spec: GuestSpec, image: BuiltImage, folder: Path
    ) -> Guest:
        begun = time.monotonic()
        with ExitStack() as forked, step(spec.name, "forking from its saved state"):
            wiring = self._wire(forked, spec, image, folder, lambda disk: (state.disk(disk), "qcow2"))
            # What the guest had printed before belongs to its record.
            shutil.copyfile(state.console, wiring.console)
            xml = domain_xml(spec, state.name, image, self.accelerator, wiring)

            def start(until: Deadline, ended: Callable[[], None]) -> Domain:
                return self.hypervisor.restore(state.memory, xml, state.name, until, ended)

            seat = self._seat(forked, spec, image, folder, wiring, xml, start)
            until = self.accelerator.deadline(_LOGIN_SECONDS, f"SSH of {spec.name} answers")
            adopt(seat.guest, state, self._login(seat.domain, until), until)
            stack.enter_context(forked.pop_all())
        guest = seat.guest
        guest.boot_seconds = time.monotonic() - begun
        guest.origin = Origin.FORK
        saved = datetime.fromtimestamp(state.made_at, UTC)
        guest.origin_because = (
            f"saved {saved:%Y-%m-%d %H:%M:%S} UTC, when kdump was armed after a cold boot "
            f"of {state.boot_seconds:.1f} s"
        )
        return guest

    def _boot(
        self, stack: ExitStack, spec: GuestSpec, image: BuiltImage, folder: Path, because: str
    ) -> _Seat:
        with step(spec.name, "booting"):
            wiring = self._wire(
                stack,
                spec,
                image,
                folder,
                lambda disk: (image.disk, image.disk_format) if disk == _ROOT else None,
            )
            (folder / "console.log").unlink(missing_ok=True)  # of a fork that failed
            xml = domain_xml(spec, wiring.guest, image, self.accelerator, wiring)

            def start(until: Deadline, ended: Callable[[], None]) -> Domain:
                return self.hypervisor.start(xml, until, ended)

            seat = self._seat(stack, spec, image, folder, wiring, xml, start)
            seat.guest.reach(0)
        seat.guest.origin_because = because
        return seat

    def _seat(
        self, stack: ExitStack, spec: GuestSpec, image: BuiltImage, folder: Path, wiring: Wiring, xml: str,
        start: Callable[[Deadline, Callable[[], None]], Domain],
    ) -> _Seat:  # fmt: skip
        """A machine that runs, tied to its console, its file channel and a shell that is not entered yet."""
        until = self.accelerator.deadline(_START_SECONDS, f"{spec.name} starts")
        (folder / "domain.xml").write_text(xml)
        console = Console(wiring.console)
        stack.callback(console.close)
        files = FileChannel(wiring.files)
        stack.callback(files.close)
        try:
            domain = start(until, console.machine_ended)
        except HypervisorError as error:
            raise HypervisorError(
                f"{spec.name} cannot be started", reason=error.message, domain=folder / "domain.xml"
            ) from None
        stack.callback(lambda: domain.destroy(Deadline.after(60, f"{spec.name} is gone")))
        shell = Shell(self._login(domain, until), folder / "commands.log")
        stack.callback(shell.close)

        def start_again() -> tuple[Console, Domain]:
            until = self.accelerator.deadline(_START_SECONDS, f"{spec.name} starts again")
            domain.destroy(until)
            files.await_another()
            console = Console(wiring.console)
            stack.callback(console.close)
            again = self.hypervisor.start(xml, until, console.machine_ended)
            stack.callback(lambda: again.destroy(Deadline.after(60, f"{spec.name} is gone")))
            shell.login = self._login(again, until)
            return console, again

        guest = Guest(
            spec.name, spec, image, self.accelerator, console, shell, files, folder, wiring.root_disk, domain
        )
        guest.start_again = start_again
        return _Seat(guest, domain, wiring)

    def _login(self, domain: Domain, until: Deadline) -> Login:
        return Login("127.0.0.1", domain.forwarded_port(until), self.run.guest_key, self.run.host_key)

    def _wire(
        self,
        stack: ExitStack,
        spec: GuestSpec,
        image: BuiltImage,
        folder: Path,
        backing: Callable[[str], tuple[Path, str] | None],
    ) -> Wiring:
        """A home for one guest. ``backing`` tells what a disk's overlay lies on, and in which format."""
        self._count += 1
        home = self.run.folder / f"g{self._count}"
        home.mkdir()
        stack.callback(remove_tree, home)
        until = Deadline.after(60, f"the disks of {spec.name} are made")
        create = ["qemu-img", "create", "-q", "-f", "qcow2"]
        sizes = {_ROOT: 0, **{f"{disk.serial}.qcow2": disk.size for disk in spec.disks}}
        contents = {f"{disk.serial}.qcow2": (disk.content, "raw") for disk in spec.disks if disk.content}
        for name, size in sizes.items():
            if lower := backing(name) or contents.get(name):
                run_program([*create, "-b", lower[0], "-F", lower[1], home / name], until)
            else:
                run_program([*create, home / name, str(size)], until)
        authorized = home / "authorized_keys"
        authorized.write_text(self.run.guest_key.public + "\n")
        seed = home / "seed.iso" if image.image.boots_by_firmware else None
        if seed:
            write_seed(seed, f"kdump-verify-{self.run.id}", self.run.guest_key, self.run.host_key)
        host_key = home / "host_key"
        host_key.touch(mode=0o600)
        host_key.write_text(self.run.host_key.private)
        root, *disks = (home / name for name in sizes)
        return Wiring(
            run_id=self.run.id,
            guest=f"kv-{self.run.id}-{self._count}-{spec.name}",
            root_disk=root,
            disks=tuple(disks),
            firmware_variables=home / "firmware.fd",
            seed=seed,
            console=folder / "console.log",
            files=home / "files.sock",
            credentials=(("ssh.authorized_keys.root", authorized), ("guest.ssh-host-key", host_key)),
        )

    def _made_of(self, spec: GuestSpec, image: BuiltImage) -> dict[str, object]:
        """All that decides what a saved state is, and whether it can be restored here."""
        nowhere = Path("/")
        disks = tuple(nowhere for _ in spec.disks)
        wiring = Wiring("", "", nowhere, disks, nowhere, nowhere, nowhere, nowhere, ())
        return {
            "spec": asdict(replace(spec, purpose="")),
            "image": image.digest,
            # Two builds of one recipe have the same digest and not the same blocks on their disks.
            "built": image.disk.stat().st_mtime_ns,
            "domain": domain_xml(spec, "", image, self.accelerator, wiring),
            "libvirt": self.hypervisor.library_version(Deadline.after(30, "libvirt says its version")),
            "qemu": run_program([QEMU, "--version"], Deadline.after(30, "QEMU says its version")),
            "cpu": _host_cpu(),
        }


def _in_short(error: Exception) -> str:
    reason = error.facts.get("reason", "") if isinstance(error, LabError) else ""
    return ": ".join(filter(None, (str(error).splitlines()[0], *reason.splitlines()[:1])))


def _host_cpu() -> list[str]:
    """The model and the features of this host's CPU."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    return [line for line in lines if line.startswith(("model name", "flags", "Features"))]
