"""One crash, from a healthy machine to the facts a verdict needs."""

import re
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import dropwhile
from pathlib import Path

from kdump_tests.crash.planted import Planted, plant
from kdump_tests.crash.timeline import Fault, Reader, Timeline, read_timeline, unseen
from kdump_tests.crash.traffic import traffic
from kdump_tests.crash.trigger import Trigger
from kdump_tests.crash.words import LastWords, last_words
from kdump_tests.errors import (
    BadDump,
    DeadlineExpired,
    GuestLost,
    GuestNotReached,
    HostKeyChanged,
    KdumpVerifyError,
    LabError,
)
from kdump_tests.guest.cache import require_space
from kdump_tests.guest.console import Line
from kdump_tests.guest.facts import KernelFacts, Process, services
from kdump_tests.guest.machine import Guest
from kdump_tests.guest.shell import Copy
from kdump_tests.sizes import MIB
from kdump_tests.stacks.kdump_conf import FinalAction
from kdump_tests.stacks.stack import Artifact, DumpDirectory, Phase, SavedFile, Stack
from kdump_tests.steps import step
from kdump_tests.vmcore.inspection import Vmcore, inspect
from kdump_tests.vmcore.user_data import Sought, find_in_user_data

# How long the trigger may take to be pulled; the panic itself may cut that off.
_PULL_SECONDS = 10.0
_FETCH_SECONDS = 600.0
# Filling a memory takes the longest; of the reference machine.
_PREPARE_SECONDS = 180.0
_TRAFFIC_SECONDS = 120.0
# For a line of the kernel's to come over a serial line, and what stands between that and us.
_CONSOLE_SECONDS = 30.0
# Of a log of the capture's own, in bytes: some tens of KiB as a rule.
_LARGEST_LOG = 16 * MIB
# Of the kernel log beside a dump: as a ring is long (log_buf_len=), and what is written before each line.
_LARGEST_DMESG = 128 * MIB
_SEARCH_SECONDS = 600.0
# Between the question for the guest's time and the trigger lie two commands, the answer is in whole
# seconds. Two crashes of one machine lie further apart than this: it has to boot in between.
_CLOCK_TOLERANCE = 20.0


class Unseen(KdumpVerifyError):
    """What a crash would come to could not be seen, so there was none."""


@dataclass(frozen=True)
class Dump:
    """What the capture left: its directory in the guest, and copies of the files here.

    ``vmcore`` holds what is inside the dump, ``log_text`` the saved kernel log's text, ``capture_log`` that
    of the capture itself, ``account`` what the stack says beside it of how the capture went; they are empty
    where the stack leaves no such file. ``planted`` is where among user data the planted pattern was found.
    """

    directory: DumpDirectory
    copies: tuple[tuple[SavedFile, Path], ...]
    vmcore: Vmcore
    log_text: str
    capture_log: str
    account: str
    planted: Sought
    seconds_to_judge: float


@dataclass(frozen=True)
class Crash:
    """One crash, as facts. What was ``planted`` just before, no other crash has.

    ``cpu`` is the one that the trigger was pulled on, None where nobody chose.
    """

    guest: str
    trigger: Trigger
    cpu: int | None
    kernel: KernelFacts
    planted: Planted
    guest_time: int  # the guest's clock before the panic, seconds since the epoch
    services: tuple[Process, ...]  # that ran before the panic
    timeline: Timeline
    capture_log: tuple[Line, ...]  # of the capture kernel and what it ran, on the console
    boot_id_after: str | None  # None: the machine did not come back
    new_directories: tuple[DumpDirectory, ...]
    log_folder: Path
    _dump: "Dump | KdumpVerifyError" = field(repr=False)

    @property
    def dump(self) -> Dump:
        """The one dump of this crash.

        Raises:
            KdumpFailure: there is none, more than one, or it is not readable as one.
            LabError: it could not be fetched.
        """
        if isinstance(self._dump, KdumpVerifyError):
            raise self._dump
        return self._dump

    @property
    def nonce(self) -> str:
        """What was written to the kernel log."""
        return self.planted.nonce

    @property
    def said(self) -> LastWords:
        """What the kernel said as it died: on its console, or in the log that the dump holds.

        In NMI context printk() only takes notes, and the capture kernel starts before they are printed.

        Raises:
            KdumpFailure: neither tells, so what it died of is not known.
        """
        return self.heard or self.said_in(self.dump.vmcore.kernel_log)

    @property
    def heard(self) -> LastWords | None:
        """What it said on its console; None when it died unheard."""
        return last_words(self.timeline.spoken, self.trigger.value.words)

    def said_in(self, log: Iterable[str]) -> LastWords:
        """What it said by a kernel log that was saved, after this crash's nonce.

        Raises:
            BadDump: it tells of no panic, or not of this one.
        """
        since = dropwhile(lambda line: self.nonce not in line, log)
        if said := last_words(since, self.trigger.value.words):
            return said
        raise BadDump(
            f"the saved kernel log tells of no panic after this crash's nonce, {self.nonce!r}",
            expected=self.trigger.value.words.last.pattern,
            console=self.timeline.console,
        )

    @property
    def moment(self) -> tuple[float, float]:
        """Between which times the guest panicked, by its own clock: as it told it, and what passed.

        Where nobody saw it, it may have been at any time until the machine was back.
        """
        events = self.timeline.events
        known = [event.seconds for event in events if event.phase.rank >= Phase.PANIC.rank] or [0.0]
        first, last = (known[0], known[0]) if self.timeline.watched else (0.0, known[-1])
        earliest = self.guest_time + max(first - _CLOCK_TOLERANCE, 0.0)
        return earliest, self.guest_time + last + _CLOCK_TOLERANCE


def crash_guest(
    guest: Guest, kernel: KernelFacts, stack: Stack, trigger: Trigger, keeper: Guest | None = None
) -> Crash:
    """Panic a guest, whose ``kernel`` is known, and watch it until it is back or clearly won't be.

    ``keeper`` is the guest that dumps are sent to, on which they are looked for; without one they stay.
    What went wrong with the capture is in the result, not raised: the tests judge it.

    Raises:
        GuestLost: the machine panicked unasked, or the trigger did nothing.
        Unseen: it was not crashed, as nothing would tell how that ends.
    """
    keeper = keeper or guest
    before = stack.dumps(keeper.shell, keeper.command_deadline())
    _prepare(guest, trigger)
    with _load(guest, trigger):
        guest_time = int(guest.shell.run("date", "+%s", until=guest.command_deadline()))
        printed = guest.console.end
        planted = plant(guest)
        running = services(guest)  # and whoever holds what was planted
        keeper.has_file_port()  # asked now, not while a verdict is waited for
        cpu = trigger.value.cpu.among(guest.spec.vcpus) if trigger.value.cpu else None
        blind = _blind_because(guest, planted, printed)
        if blind and (needs := _needs_a_console(stack, trigger)):
            raise Unseen(f"{guest.name} was not crashed: {needs}, and {blind}")
        with step(guest.name, f"crashing by {trigger}"):
            start, begun = guest.console.end, time.monotonic()
            _pull(guest, trigger, cpu)
            if not blind:
                timeline = _watch(guest, stack, trigger, start, begun)
                boot_id_after, new, dump = _harvest(guest, keeper, stack, before, timeline, planted)
                if isinstance(dump, Dump):
                    timeline = timeline.supplemented(_proofs(dump))
                # What it left is taken once: a console that ended later has told enough.
                if boot_id_after is None and not guest.watched:
                    blind = "its console ended before the machine was back"
            if blind:
                timeline, boot_id_after, new, dump = _look_afterwards(
                    guest, keeper, stack, trigger, blind, before, planted, kernel.boot_id, begun
                )
    return Crash(
        guest=guest.name,
        trigger=trigger,
        cpu=cpu,
        kernel=kernel,
        planted=planted,
        guest_time=guest_time,
        services=running,
        timeline=timeline,
        capture_log=timeline.of_capture(guest.console.lines()),
        boot_id_after=boot_id_after,
        new_directories=new,
        log_folder=guest.folder,
        _dump=dump,
    )


def _prepare(guest: Guest, trigger: Trigger) -> None:
    """All that takes its time, while there is time."""
    recipe = trigger.value
    recipe.pull.get_ready(guest)
    if recipe.prepare:
        until = guest.deadline(_PREPARE_SECONDS, f"it is ready for {trigger}")
        guest.shell.run("sh", "-e", "-c", recipe.prepare, until=until)


def _load(guest: Guest, trigger: Trigger) -> AbstractContextManager[None]:
    """What this host does to the machine meanwhile."""
    if not trigger.value.traffic:
        return nullcontext()
    return traffic(guest.shell, guest.deadline(_TRAFFIC_SECONDS, "its network is busy"))


def _pull(guest: Guest, trigger: Trigger, cpu: int | None) -> None:
    recipe = trigger.value
    until = guest.deadline(_PULL_SECONDS, "the trigger is pulled")
    # The machine may die before SSH says that the command was taken. Others know.
    with suppress(GuestLost, DeadlineExpired):
        recipe.pull.pull(guest, cpu, until)
    guest.shell.close()


def _blind_because(guest: Guest, planted: Planted, start: int) -> str:
    """Why its console will not tell of a crash; empty where it will.

    A kernel that was told to be quiet, or writes to another console, dies and captures without a word.
    """
    if not guest.watched:
        return "its console has ended" if guest.has_console else "there is no console"
    until = guest.deadline(_CONSOLE_SECONDS, "what its kernel says comes to its console")
    try:
        guest.console.expect(re.compile(re.escape(planted.nonce)), start, until)
    except DeadlineExpired:
        return "its console shows nothing of what its kernel says"
    return "" if guest.watched else "its console has ended"


def _needs_a_console(stack: Stack, trigger: Trigger) -> str:
    """What only a console tells; empty where all that is asked shows in what is left."""
    if not trigger.dumps:
        return f"{trigger} must leave nothing, so only its console would tell what happened"
    if stack.ends_with is not FinalAction.REBOOT:
        return f"only its console would tell when it is to {stack.ends_with}"
    return ""


def _look_afterwards(
    guest: Guest,
    keeper: Guest,
    stack: Stack,
    trigger: Trigger,
    blind: str,
    before: tuple[DumpDirectory, ...],
    planted: Planted,
    boot_id: str,
    begun: float,
) -> tuple[Timeline, str | None, tuple[DumpDirectory, ...], Dump | KdumpVerifyError]:
    """A crash that no console tells of: what it left tells of its phases, once the machine is back."""
    unwatched = partial(unseen, because=blind)
    try:
        after = guest.come_back(boot_id)
    except GuestNotReached as error:
        gone = Fault(f"the machine did not come back: {error.message}", None, fatal=True)
        lost = unwatched([(Phase.TRIGGERED, "nothing answers any more")], time.monotonic() - begun, (gone,))
        answer = (
            error if isinstance(error, HostKeyChanged) else lost.failure("the machine did not come back")
        )
        return lost, None, (), answer
    seconds = time.monotonic() - begun
    new = _new_dumps(keeper, stack, before)
    proofs = [(Phase.TRIGGERED, "the machine stopped"), (Phase.REBOOTED, f"boot {after} after {boot_id}")]
    try:
        dump = _take(guest, keeper, stack, new, unwatched(proofs, seconds, ()), planted)
    except KdumpVerifyError as error:
        nothing = Fault("nothing that was left proves a capture", None)
        return unwatched(proofs, seconds, () if new else (nothing,)), after, new, error
    if said := last_words(dump.log_text.splitlines(), trigger.value.words):
        proofs.append((Phase.PANIC, said.panic))
    proofs = sorted([*proofs, *_proofs(dump)], key=lambda each: each[0].rank)
    return unwatched(proofs, seconds, ()), after, new, dump


def _proofs(dump: Dump) -> list[tuple[Phase, str]]:
    """What a dump and the log saved beside it prove. /proc/vmcore is there in a capture kernel alone."""
    where = dump.directory.path
    found = [
        (Phase.CAPTURE_KERNEL, f"{where} was made"),
        (Phase.TARGET_MOUNTED, f"{where} was made"),
        (Phase.DMESG_SAVED, f"{where} holds the kernel log" if dump.log_text else ""),
        (Phase.DUMP_STARTED, f"{where} holds a vmcore"),
        (Phase.DUMP_SAVED, f"{where} holds a complete vmcore" if dump.vmcore.complete else ""),
    ]
    return [(phase, proof) for phase, proof in found if proof]


def _watch(guest: Guest, stack: Stack, trigger: Trigger, start: int, begun: float) -> Timeline:
    recipe = trigger.value
    reader = Reader(stack.markers, recipe.words, begun, ends_with=stack.ends_with, unheard=recipe.in_nmi)
    timeline = read_timeline(guest.console, start, reader, guest.deadline)
    if not timeline.events and guest.watched:
        raise GuestLost(f"{guest.name}: the trigger {trigger} did nothing", **guest.whereabouts())
    return timeline


def _harvest(
    guest: Guest,
    keeper: Guest,
    stack: Stack,
    before: tuple[DumpDirectory, ...],
    timeline: Timeline,
    planted: Planted,
) -> tuple[str | None, tuple[DumpDirectory, ...], Dump | KdumpVerifyError]:
    """Enter the machine again and take what the capture left; what it sent away is there in any case."""
    boot_id, absent = _enter_again(guest, timeline, stack.ends_with)
    if absent and keeper is guest:
        return None, (), absent
    new = _new_dumps(keeper, stack, before)
    try:
        return boot_id, new, _take(guest, keeper, stack, new, timeline, planted)
    except KdumpVerifyError as error:
        return boot_id, new, error


def _enter_again(
    guest: Guest, timeline: Timeline, ends_with: FinalAction
) -> tuple[str | None, KdumpVerifyError | None]:
    """The id of its new boot, or why it has none."""
    rebooted = next((event.line for event in timeline.events if event.phase is Phase.REBOOTED), None)
    over = timeline.reached(Phase.FINAL_ACTION) and ends_with is not FinalAction.REBOOT
    if rebooted is None and not over:
        return None, timeline.failure("no dump can be looked for: the machine did not come back")
    with step(guest.name, "entering the machine again"):
        try:
            guest.reach(guest.console.index_of(rebooted) if rebooted else guest.power_on())
        except (GuestNotReached, GuestLost) as error:
            return None, error
        return guest.boot_id(), None


def _new_dumps(guest: Guest, stack: Stack, before: tuple[DumpDirectory, ...]) -> tuple[DumpDirectory, ...]:
    known = {directory.path for directory in before}
    after = stack.dumps(guest.shell, guest.command_deadline())
    return tuple(directory for directory in after if directory.path not in known)


def _take(
    guest: Guest,
    keeper: Guest,
    stack: Stack,
    new: tuple[DumpDirectory, ...],
    timeline: Timeline,
    planted: Planted,
) -> Dump:
    if not new:
        raise timeline.failure("no dump was saved")
    if len(new) > 1:
        raise BadDump(
            "one crash left several dump directories", found=", ".join(directory.path for directory in new)
        )
    (directory,) = new
    artifacts = stack.artifacts
    asked = [artifact for artifact in (artifacts.vmcore, artifacts.dmesg) if artifact]
    files = {artifact: _promised(directory, artifact, timeline) for artifact in asked}
    if artifacts.dmesg and files[artifacts.dmesg].size > _LARGEST_DMESG:
        saved = files[artifacts.dmesg]
        raise BadDump(f"{directory.path}/{saved.name} is no kernel log", size=f"{saved.size} bytes")
    # Good to have, and no reason to judge nothing else.
    for artifact in filter(None, (artifacts.capture_log, artifacts.account)):
        if (file := _found(directory, artifact)) and file.size <= _LARGEST_LOG:
            files[artifact] = file
    folder = guest.folder / "dump"
    folder.mkdir(mode=0o700)
    with step(keeper.name, f"fetching {directory.path}"):
        copies = _fetch(keeper, directory, tuple(files.values()), folder)
    with step(guest.name, "looking into the vmcore"):
        begun = time.monotonic()
        inside = inspect(folder / files[artifacts.vmcore].name)
        search = guest.deadline(_SEARCH_SECONDS, "what was planted is looked for")
        found = find_in_user_data(inside, planted.pattern, search)
        log_text, capture_log, account = (
            (folder / files[artifact].name).read_text(errors="replace") if artifact in files else ""
            for artifact in (artifacts.dmesg, artifacts.capture_log, artifacts.account)
        )
        seconds = time.monotonic() - begun
        return Dump(directory, copies, inside, log_text, capture_log, account, found, seconds)


def _found(directory: DumpDirectory, artifact: Artifact) -> SavedFile | None:
    return next((file for file in directory.files if artifact.name.fullmatch(file.name)), None)


def _promised(directory: DumpDirectory, artifact: Artifact, timeline: Timeline) -> SavedFile:
    if file := _found(directory, artifact):
        return file
    raise BadDump(
        f"{directory.path} holds no file {artifact.name.pattern}",
        found=", ".join(f"{file.name} ({file.size} bytes)" for file in directory.files) or "nothing",
        phase_reached=timeline.phase.value,
        capture_failed_with="\n".join(fault.what for fault in timeline.faults),
        console=timeline.console,
    )


def _fetch(
    guest: Guest, directory: DumpDirectory, files: tuple[SavedFile, ...], folder: Path
) -> tuple[tuple[SavedFile, Path], ...]:
    for file in files:
        # The name matched the stack's pattern; still it is the guest's word and must not lead elsewhere.
        if "/" in file.name or file.name.startswith("."):
            raise LabError(f"the guest names a dump file {file.name!r}")
    require_space(folder, sum(file.size for file in files), f"a copy of {directory.path}")
    until = guest.deadline(_FETCH_SECONDS, f"{directory.path} is copied")
    guest.fetch(
        [Copy(f"{directory.path}/{file.name}", folder / file.name, file.size) for file in files], until
    )
    return tuple((file, folder / file.name) for file in files)
