"""The one door to libvirt: typed, with deadlines, and quiet.

Two ways in. ``qemu:///embed`` runs libvirt's QEMU driver inside this process: no daemon, no
configuration; its state lives in the run's folder. Any other URI is a libvirt daemon of this host.
"""

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

# libvirt in this process logs to stderr, amid the suite's own output, unless told otherwise before it is
# loaded; what matters of it comes as an error of the call.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")

import libvirt
import libvirt_qemu

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, HypervisorError, LabError
from kdump_tests.guest.cache import locked, publish, staging
from kdump_tests.sizes import KIB

T = TypeVar("T")

EMBEDDED = "qemu:///embed"
# Local and quick calls; a minute is an eternity for each.
_CALL_SECONDS = 60.0

# The QEMU driver for one process alone. No virtlogd, no AppArmor or SELinux labels, no cgroups and no
# mount namespaces, none of which a container grants; the seccomp sandbox of QEMU stays on (libvirt's
# default). Files are ours already, so libvirt must not hand them to another owner.
_QEMU_CONF = """\
user = "+{uid}"
group = "+{gid}"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""

_started = threading.Lock()
_running = False


@dataclass(frozen=True)
class Domain:
    """A guest as libvirt knows it. ``_listener`` is libvirt's number of ``_ended``, told of its end."""

    name: str
    _handle: Any
    _listener: int | None = None
    _ended: Callable[[], None] | None = None

    def save(self, file: Path, until: Deadline) -> None:
        """Freeze the machine into a file of mode 0600; it is gone then, its disks as they were.

        Raises:
            HypervisorError: it could not be saved; the machine runs on.
        """
        call(lambda: self._handle.save(str(file)), until)
        self._is_gone(until)

    def real_memory(self, until: Deadline) -> int:
        """Bytes of this host's memory that its QEMU has in use."""
        return int(call(self._handle.memoryStats, until)["rss"]) * KIB

    def destroy(self, until: Deadline) -> None:
        """Pull the plug. A guest that is gone already is fine."""
        try:
            call(self._handle.destroy, until)
        except HypervisorError:
            if self.is_active(until):
                raise
        self._is_gone(until)

    def _is_gone(self, until: Deadline) -> None:
        """Tell who listened, and let him listen no more: libvirt refuses a second for the same uuid."""
        if self._listener is None or self._ended is None:
            return
        self._ended()
        connection = self._handle.connect()
        with suppress(HypervisorError):  # already done, by an earlier destroy
            call(lambda: connection.domainEventDeregisterAny(self._listener), until)

    def is_active(self, until: Deadline) -> bool:
        """Whether QEMU still runs."""
        try:
            return bool(call(self._handle.isActive, until))
        except HypervisorError:
            return False

    def xml(self, until: Deadline) -> str:
        """The domain as libvirt completed it."""
        return str(call(lambda: self._handle.XMLDesc(0), until))

    def inject_nmi(self, until: Deadline) -> None:
        """Send a non-maskable interrupt to the machine, as the button on a server does."""
        call(lambda: self._handle.injectNMI(0), until)

    def ask_qemu(self, command: str, arguments: Mapping[str, object], until: Deadline) -> None:
        """A command of QEMU's machine protocol for which libvirt has no call of its own.

        Raises:
            HypervisorError: QEMU refused; carries its words.
        """
        text = json.dumps({"execute": command, "arguments": arguments})
        said = json.loads(call(lambda: libvirt_qemu.qemuMonitorCommand(self._handle, text, 0), until))
        if "error" in said:
            raise HypervisorError(f"QEMU refuses {command}", reason=said["error"].get("desc"))

    def tell_monitor(self, command: str, until: Deadline) -> str:
        """What QEMU's monitor for people answers, where the machine protocol has no such command."""
        flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        return str(call(lambda: libvirt_qemu.qemuMonitorCommand(self._handle, command, flags), until))

    def forwarded_port(self, until: Deadline) -> int:
        """The port on 127.0.0.1 that leads to the guest's SSH. QEMU chose it, so no other can hold it."""
        table = self.tell_monitor("info usernet", until)
        match = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", table)
        if match is None:
            raise HypervisorError(f"QEMU forwards no port to {self.name}", said=table)
        return int(match[1])


class Hypervisor:
    """An open connection."""

    def __init__(self, uri: str, handle: Any) -> None:
        self.uri = uri
        self._handle = handle

    def start(self, xml: str, until: Deadline, ended: Callable[[], None]) -> Domain:
        """Start a transient domain. ``ended`` is called, in a thread of libvirt's, when its machine is gone.

        Raises:
            HypervisorError: libvirt or QEMU refused; carries their words.
        """
        # Paused at first: a machine that ended before anybody listened would be waited for in vain.
        handle = call(lambda: self._handle.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED), until)
        return self._let_run(handle, until, ended)

    def restore(
        self, memory: Path, xml: str, name: str, until: Deadline, ended: Callable[[], None]
    ) -> Domain:
        """Let a saved domain go on where it was frozen, with the files and ports that ``xml`` names.

        Its name and uuid must be those it was saved with.

        Raises:
            HypervisorError: libvirt or QEMU refused; carries their words.
        """
        call(lambda: self._handle.restoreFlags(str(memory), xml, libvirt.VIR_DOMAIN_SAVE_PAUSED), until)
        return self._let_run(call(lambda: self._handle.lookupByName(name), until), until, ended)

    def has(self, name: str, until: Deadline) -> bool:
        """Whether a domain of that name runs."""
        handles = call(lambda: self._handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE), until)
        return any(handle.name() == name for handle in handles)

    def _let_run(self, handle: Any, until: Deadline, ended: Callable[[], None]) -> Domain:
        def on_event(_connection: Any, _domain: Any, event: int, _detail: int, _data: Any) -> None:
            if event in {libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED}:
                ended()

        lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        listener = call(
            lambda: self._handle.domainEventRegisterAny(handle, lifecycle, on_event, None), until
        )
        call(handle.resume, until)
        return Domain(handle.name(), handle, listener, ended)

    def domains(self, until: Deadline) -> tuple[tuple[Domain, str], ...]:
        """Every active domain with its XML."""
        handles = call(lambda: self._handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE), until)
        found = []
        for handle in handles:
            domain = Domain(handle.name(), handle)
            with suppress(HypervisorError):  # it may end while we look
                found.append((domain, domain.xml(until)))
        return tuple(found)

    def library_version(self, until: Deadline) -> str:
        """The version of libvirt at the other end."""
        return _version(call(self._handle.getLibVersion, until))

    def versions(self, until: Deadline) -> dict[str, str]:
        """The versions of libvirt and QEMU. The embedded driver asks every QEMU of the host, for 4 s."""
        return {
            "libvirt": self.library_version(until),
            "qemu": _version(call(self._handle.getVersion, until)),
        }


@contextmanager
def connected(uri: str, folder: Path, cache: Path) -> Iterator[Hypervisor]:
    """Open a connection. ``folder`` is the run's: the embedded driver keeps its state there.

    Raises:
        BadInput: the URI is none, or names another host.
        HypervisorError: nobody answers there.
    """
    _require_local(uri)
    _start_event_loop()
    until = Deadline.after(_CALL_SECONDS, f"libvirt answers at {uri}")
    opened = _embedded(folder / "v", cache, until) if uri == EMBEDDED else _open(uri, until)
    try:
        yield Hypervisor(uri, opened)
    finally:
        if uri == EMBEDDED:
            _keep_capabilities(folder / "v", cache)
        with suppress(HypervisorError, DeadlineExpired):
            call(opened.close, Deadline.after(10, "libvirt closes"))


def library_version() -> str:
    """The version of libvirt in this process."""
    return _version(libvirt.getVersion())


def call(function: Callable[[], T], until: Deadline) -> T:
    """A libvirt call with a deadline.

    libvirt has none: a daemon that hangs would hang us. So the call runs in a thread that is left behind
    when it does not come back.

    Raises:
        HypervisorError: libvirt's own error.
        DeadlineExpired: no answer in time.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def attempt() -> None:
        try:
            result.append(function())
        except libvirt.libvirtError as error:
            failure.append(HypervisorError(f"libvirt: {error.get_error_message()}"))
        except BaseException as error:  # raised again below, in the thread that asked
            failure.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(until.left)
    if thread.is_alive():
        raise until.error(
            reason="libvirt does not answer", way_out="see what its daemon does, or use the default URI"
        )
    if failure:
        raise failure[0]
    return result[0]


def _open(uri: str, until: Deadline) -> Any:
    try:
        return call(lambda: libvirt.open(uri), until)
    except HypervisorError as error:
        raise HypervisorError(
            f"no libvirt at {uri}",
            reason=error.message,
            way_out=f"start its daemon, or leave --connect out: {EMBEDDED} needs none",
        ) from None


def _embedded(root: Path, cache: Path, until: Deadline) -> Any:
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "qemu.conf").write_text(_QEMU_CONF.format(uid=os.geteuid(), gid=os.getegid()))
    # What libvirt found out about each QEMU binary, 4 s of asking; libvirt itself checks that it holds.
    kept, known = _capabilities(root, cache)
    if kept.is_dir():
        shutil.copytree(kept, known)
    return _open(f"{EMBEDDED}?root={root}", until)


def _keep_capabilities(root: Path, cache: Path) -> None:
    """Keep libvirt's findings for later runs. It asks a QEMU as it starts the first guest with it."""
    kept, known = _capabilities(root, cache)
    if kept.is_dir() or not known.is_dir():
        return
    # Nice to have, so no reason to fail.
    with (
        suppress(LabError, OSError),
        locked(cache / "locks" / "libvirt.lock", Deadline.after(30, "libvirt's findings are kept")),
    ):
        if not kept.is_dir():
            with staging(kept.parent) as folder:
                shutil.copytree(known, folder, dirs_exist_ok=True)
                publish(folder, kept)


def _capabilities(root: Path, cache: Path) -> tuple[Path, Path]:
    """Where libvirt's findings lie between runs, and where it looks for them."""
    return cache / "libvirt" / library_version(), root / "cache" / "qemu" / "capabilities"


def _require_local(uri: str) -> None:
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise BadInput(f"{uri!r} is not a libvirt URI", reason=error) from None
    if not parts.scheme:
        raise BadInput(f"{uri!r} is not a libvirt URI", way_out=f"for example {EMBEDDED} or qemu:///system")
    if parts.hostname:
        raise BadInput(
            f"{uri} is on another host",
            reason="guests' ports are forwarded on the loopback of the host that runs them",
            way_out=f"run the suite on {parts.hostname}",
        )


def _start_event_loop() -> None:
    """Start libvirt's event loop, once per process. The embedded driver wants it before it is opened."""
    global _running
    with _started:
        if _running:
            return
        # Otherwise every error goes to stderr too, in libvirt's own format, amid the suite's output.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_turn_events, name="libvirt events", daemon=True).start()
        _running = True


def _turn_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
