"""kdump of RHEL and Fedora, by the words of kdump-utils 63f248c as a console shows them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from kdump_tests.crash.timeline import Timeline
from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, NotArmed
from kdump_tests.stacks import el, unit
from kdump_tests.stacks.boot_loader import Grubby, GrubDefaults
from kdump_tests.stacks.el import El, with_options
from kdump_tests.stacks.kdump_conf import KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.stack import Phase, SavedFile
from kdump_tests.stacks.topology import Remote, Topology
from kdump_tests.unit.crash.serial import GOOD as DEBIANS
from kdump_tests.unit.crash.serial import Serial
from kdump_tests.unit.stacks.here import Here
from kdump_tests.unit.stacks.kdump_configs import configs

SAVING = "/sysroot/var/crash/127.0.0.1-2026-11-23-02:39:59/"
GOOD = DEBIANS | {
    Phase.TARGET_MOUNTED: f"[   38.7] kdump[412]: saving to {SAVING}",
    Phase.DMESG_SAVED: "[   39.3] kdump[418]: saving vmcore-dmesg.txt complete",
    Phase.DUMP_STARTED: "[   39.4] kdump[421]: saving vmcore",
    Phase.DUMP_SAVED: "[   45.1] kdump[430]: saving vmcore complete",
}
DISK_FULL = (
    "[   44.9] kdump.sh[425]: Can't write the dump file(/sysroot/vmcore). No space left on device",
    "[   44.9] kdump.sh[425]: makedumpfile Failed.",
    "[   45.0] kdump[430]: saving vmcore failed, exitcode:1",
    "[FAILED] Failed to start kdump-capture.service - Kdump Vmcore Save Service.",
    "         Starting emergency.service - Kdump Error Handler...",
    "[   45.9] kdump[444]: Executing failure action systemctl reboot -f && exit",
    "[   46.2] kdump[447]: Executing final action systemctl reboot -f",
)
CONF = """\
# comments stay
auto_reset_crashkernel yes
path /var/crash
core_collector makedumpfile -l --message-level 7 -d 31
#failure_action shell
"""


def phases_told_by(line: str) -> set[Phase]:
    return {phase for phase, pattern in El.markers.phases if pattern.search(line)}


def until() -> Deadline:
    return Deadline.after(10, "it is done")


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Serial]:
    serial = Serial(tmp_path / "console.log", El.markers)
    yield serial
    serial.console.close()


def missed(timeline: Timeline) -> set[Phase]:
    return set(Phase) - {event.phase for event in timeline.events}


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        *((GOOD[phase], phase) for phase, _ in El.markers.phases),
        ("kdump: saving to root@192.0.2.1:/var/crash/192.0.2.7-2026-11-23-02:39:59", Phase.TARGET_MOUNTED),
        ("kdump: saving to raw disk /dev/vdb", Phase.TARGET_MOUNTED),
        ("kdump: saving vmcore", Phase.DUMP_STARTED),
    ],
)
def test_a_line_tells_one_phase(line: str, phase: Phase) -> None:
    assert phases_told_by(line) == {phase}


@pytest.mark.parametrize(
    "line",
    [
        "[   39.0] kdump[415]: saving vmcore-dmesg.txt to /sysroot/var/crash/127.0.0.1-2026/",
        "[   39.0] kdump[415]: saving vmcore-dmesg.txt failed",
        "[   45.3] kdump[435]: saving the /run/initramfs/kexec-dmesg.log to /sysroot/var/crash/127.0.0.1///",
        "[   45.0] kdump[430]: saving vmcore failed, exitcode:1",
        "[   45.0] kdump[430]: saving opalcore complete",
        "[    2.0] systemd[1]: Starting kdump-capture.service - Kdump Vmcore Save Service...",
        "[   45.0] kdump.sh[425]: The dumpfile is saved to /sysroot/var/crash/x/vmcore-incomplete.",
    ],
)
def test_a_line_that_sounds_alike_tells_no_phase(line: str) -> None:
    assert phases_told_by(line) == set()


@pytest.mark.parametrize(
    "line",
    [
        *DISK_FULL[1:3],
        "kdump[9]: saving vmcore-dmesg.txt failed",
        "kdump[9]: sync vmcore failed, exitcode:1",
        "kdump[9]: failed to dump to '/sysroot', it's not a mount point!",
        "kdump[9]: kdump_pre script exited with non-zero status!",
        "kdump[9]: get_host_ip exited with non-zero status!",
        "kdump[9]: Failed to mount rootfs",
    ],
)
def test_words_of_a_failed_capture_are_a_failure(line: str) -> None:
    assert El.markers.failed.search(line)


@pytest.mark.parametrize(
    "line",
    [
        *GOOD.values(),
        "The kernel version is not supported. The makedumpfile operation may be incomplete.",
        "kdump[9]: /etc/kdump/pre.d/a.sh exited with 1 status",
        "makedumpfile Completed.",
    ],
)
def test_what_a_good_capture_prints_is_none(line: str) -> None:
    assert not El.markers.failed.search(line)


def test_every_phase_of_a_good_crash_is_reached_in_order(serial: Serial) -> None:
    timeline = serial.tells(*GOOD.values())
    assert [event.phase for event in timeline.events] == list(Phase)
    assert timeline.faults == ()


def test_a_full_disk_saves_no_dump_though_the_final_action_follows(serial: Serial) -> None:
    before = [line for phase, line in GOOD.items() if phase.rank <= Phase.DUMP_STARTED.rank]
    after = [line for phase, line in GOOD.items() if phase.rank > Phase.DUMP_SAVED.rank]
    timeline = serial.tells(*before, *DISK_FULL, *after)
    assert missed(timeline) == {Phase.DUMP_SAVED}
    assert timeline.faults[0].what.endswith("could not save the dump")


def test_a_pre_script_that_fails_is_told_as_what_it_prevents(serial: Serial) -> None:
    before = [line for phase, line in GOOD.items() if phase.rank <= Phase.CAPTURE_KERNEL.rank]
    after = [line for phase, line in GOOD.items() if phase.rank >= Phase.FINAL_ACTION.rank]
    fails = "[  38.0] kdump[412]: kdump_pre script exited with non-zero status!"
    timeline = serial.tells(*before, fails, *after)
    assert [(fault.what, fault.prevented) for fault in timeline.faults] == [
        ("the capture environment could not reach the dump target", Phase.TARGET_MOUNTED)
    ]


def test_a_shell_for_a_person_ends_the_crash(serial: Serial) -> None:
    before = [line for phase, line in GOOD.items() if phase.rank <= Phase.DUMP_STARTED.rank]
    timeline = serial.falls_silent_after(*before, *DISK_FULL[1:5], "Entering kdump emergency mode.")
    assert timeline.faults[-1].fatal
    assert "waits for a person" in timeline.faults[-1].what


def test_a_network_that_does_not_come_is_waited_for_as_long_as_kdump_does() -> None:
    assert El.markers.goes_on.search("kdump[9]: WARNING: Waiting for network to be ready (7s / 10min)")
    gives_up = "kdump[9]: Oops. The network still isn't ready after waiting 10mins."
    assert El.markers.failed.search(gives_up)
    assert not El.markers.goes_on.search(gives_up)


@pytest.mark.parametrize("name", ["vmcore-incomplete", "vmcore.flat", "vmcore-dmesg.txt", "vmcore\n"])
def test_what_is_no_whole_dump_is_no_vmcore(name: str) -> None:
    assert not El().artifacts.vmcore.name.fullmatch(name)


@pytest.mark.parametrize(
    ("name", "mode", "promised"),
    [
        ("vmcore", 0o600, True),
        ("vmcore", 0o644, False),
        ("vmcore-dmesg.txt", 0o600, True),
        ("vmcore-dmesg.txt", 0o644, True),  # of older releases
        ("vmcore-dmesg-incomplete.txt", 0o600, False),
        ("kexec-dmesg.log", 0o666, False),
    ],
)
def test_files_are_promised_with_a_mode(name: str, mode: int, promised: bool) -> None:
    file = SavedFile(name, 1, mode, "root")
    assert any(artifact.promises(file) for artifact in El().artifacts.all) is promised
    assert not any(artifact.promises(SavedFile(name, 1, mode, "eve")) for artifact in El().artifacts.all)


def test_what_cp_copies_has_the_mode_of_proc_vmcore() -> None:
    assert El().configured({"core_collector": "cp"}).artifacts.vmcore.mode == 0o400
    assert El().configured({"core_collector": "makedumpfile -c"}).artifacts.vmcore.mode == 0o600


def test_a_raw_dump_comes_alone_and_is_looked_for_at_the_path() -> None:
    stack = El().configured({"raw": "/dev/vdb", "path": "/srv/crash/", "ext4": ""})
    assert (stack.core_directory, stack.raw) == ("/srv/crash", True)
    assert [artifact.name.pattern for artifact in stack.artifacts.all] == ["vmcore"]


SSH = El().configured({"ssh": "kdump@dump-server", "path": "/srv/dumps"})
NFS = El().configured({"nfs": "dump-server:/srv", "path": "/dumps"})


def test_where_dumps_are_sent_is_known_beforehand() -> None:
    assert SSH.remote == Remote(
        Topology.SSH_DUMP, "dump-server", "/srv/dumps", "kdump", "/root/.ssh/kdump_id_rsa"
    )
    assert NFS.remote == Remote(Topology.NFS_DUMP, "dump-server", "/srv/dumps", export="/srv")
    assert SSH.core_directory == NFS.core_directory == "/srv/dumps"
    own = El().configured({"ssh": "u@dump-server", "sshkey": "/root/.ssh/own"}).remote
    assert own
    assert own.key == "/root/.ssh/own"
    assert El().configured({"path": "/srv"}).remote is None


@pytest.mark.parametrize(
    ("stack", "name", "mode", "owner"),
    [
        (SSH, "vmcore.flat", 0o600, "kdump"),
        (El().configured({"ssh": "kdump@dump-server", "core_collector": "scp"}), "vmcore", 0o400, "kdump"),
        (NFS, "vmcore", 0o600, "root"),
    ],
)
def test_what_is_sent_belongs_to_who_was_let_in(stack: El, name: str, mode: int, owner: str) -> None:
    assert stack.artifacts.vmcore.promises(SavedFile(name, 1, mode, owner))
    assert not stack.artifacts.vmcore.promises(SavedFile("vmcore-incomplete", 1, mode, owner))
    assert {artifact.owner for artifact in stack.artifacts.all} == {owner}


def test_the_target_is_tried_with_the_words_of_kdump(here: Here) -> None:
    shell: Any = here
    here.has("ssh", "mount", "umount")
    SSH.try_remote(shell, until())
    NFS.try_remote(shell, until())
    ssh, mount, umount = here.calls
    assert ssh.startswith("ssh -i /root/.ssh/kdump_id_rsa -o BatchMode=yes")
    assert ssh.endswith("kdump@dump-server mkdir -p /srv/dumps")
    assert (mount, umount) == ("mount dump-server:/srv /mnt -t nfs -o defaults", "umount /mnt")


def test_a_dump_that_was_sent_bears_the_address_of_its_sender(here: Here, tmp_path: Path) -> None:
    shell: Any = here
    (tmp_path / "dumps" / "192.0.2.7-2026-11-25-13:28:44").mkdir(parents=True)
    (tmp_path / "dumps" / "kdump-test-1").mkdir()
    stack = El().configured({"nfs": f"dump-server:{tmp_path}", "path": "/dumps"})
    (found,) = stack.dumps(shell, until())
    assert stack.sender_of(found) == "192.0.2.7"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"virtiofs": "dumps"}, "virtiofs dumps takes dumps to where nobody looks"),
        ({"ssh": "u@dump-server", "path": "crash"}, "path crash is one of u's home on dump-server"),
        ({"path": "crash"}, "without a target, path begins with /"),
        ({"raw": "/dev/vdb", "ext4": "/dev/vdc"}, "line 1 has named a target"),
        ({"failure_action": "panic"}, "failure_action is one of"),
        ({"core_collector": "makedumpfile -d 32"}, "-d goes from 0 to 31"),
    ],
)
def test_what_kdumpctl_would_refuse_is_refused_before_a_guest_is_there(
    settings: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        El().configured(settings)


@given(configs())
def test_a_configuration_is_written_as_it_is(config: KdumpConfig) -> None:
    translation = El().translate(config)
    assert translation.untranslated == ()
    assert parse_kdump_conf(with_options(CONF, translation.settings)) == config


def test_lines_of_other_options_and_comments_stay() -> None:
    new = with_options(CONF, {"path": "", "core_collector": "makedumpfile -z -d 17"})
    assert new == (
        "# comments stay\n"
        "auto_reset_crashkernel yes\n"
        "#failure_action shell\n"
        "core_collector makedumpfile -z -d 17\n"
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    for name, text in (("kdump.conf", CONF), ("sysconfig", 'KEXEC_ARGS="-s"\n'), ("loaded", "1\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(el, "_CONFIGURATION", str(tmp_path / "kdump.conf"))
    monkeypatch.setattr(el, "_SYSCONFIG", str(tmp_path / "sysconfig"))
    monkeypatch.setattr(unit, "_ARMED", (str(tmp_path / "loaded"),))
    here = Here(tmp_path)
    here.has("systemctl", "journalctl", script="echo No memory reserved for crash kernel")
    here.has("kdumpctl", script=": failure_action")
    return here


@pytest.fixture
def configure(here: Here) -> Callable[..., str]:
    def configure(**settings: str) -> str:
        shell: Any = here
        written = El().write(shell, settings, until())
        if written.to_arm:
            El().arm(shell, written, until())
        return str(written)

    return configure


def test_settings_are_told_as_kdump_reads_them(here: Here) -> None:
    shell: Any = here
    told = El().told(shell, ["KEXEC_ARGS", "path", "raw", "failure_action"], until())
    assert told == {"KEXEC_ARGS": "-s", "path": "/var/crash", "raw": "", "failure_action": ""}


def test_what_is_another_is_written_and_armed_anew(configure: Callable[..., str], here: Here) -> None:
    assert (
        configure(failure_action="halt", path="/var/crash") == "failure_action: capture kernel loaded anew"
    )
    assert here.calls == ["systemctl restart kdump.service"]
    assert configure(failure_action="halt") == "nothing changed"


def test_rhel_7_is_told_by_the_older_name(configure: Callable[..., str], here: Here, tmp_path: Path) -> None:
    here.has("kdumpctl", script=": default")
    configure(failure_action="shell")
    assert (tmp_path / "kdump.conf").read_text().endswith("\ndefault shell\n")
    assert configure(failure_action="shell") == "nothing changed"


def test_what_is_not_armed_then_is_told_in_kdumpctls_words(
    configure: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "loaded").write_text("0\n")
    with pytest.raises(NotArmed) as failure:
        configure(path="/nowhere", KEXEC_ARGS="")
    assert failure.value.facts["settings"] == "path /nowhere"
    assert El.says_nothing_is_kept_aside.search(failure.value.facts["it says"])


def test_crash_memory_is_set_through_grubby_where_it_is_there(here: Here) -> None:
    shell: Any = here
    assert isinstance(El().boot_loader(shell, until()), GrubDefaults)
    here.has("grubby")
    assert El().boot_loader(shell, until()) == Grubby()


def test_its_own_default_is_kdumpctls_word(here: Here) -> None:
    shell: Any = here
    assert El().own_crashkernel(shell, until()) is None
    here.has("kdumpctl", script="echo 2G-64G:256M,64G-:512M")
    assert El().own_crashkernel(shell, until()) == "2G-64G:256M,64G-:512M"


@pytest.mark.parametrize(
    ("action", "words"), [("poweroff", "reboot: Power down"), ("halt", "reboot: System halted")]
)
def test_a_machine_that_is_told_to_end_is_not_waited_for(tmp_path: Path, action: str, words: str) -> None:
    stack = El().configured({"final_action": action})
    serial = Serial(tmp_path / "console.log", stack.markers, stack.ends_with)
    saved = [line for phase, line in GOOD.items() if phase.rank <= Phase.DUMP_SAVED.rank]
    timeline = serial.tells(*saved, f"[   46.1] {words}")
    assert (timeline.phase, timeline.faults) == (Phase.FINAL_ACTION, ())


def test_a_machine_that_reboots_instead_of_ending_is_at_fault(tmp_path: Path) -> None:
    stack = El().configured({"final_action": "halt"})
    serial = Serial(tmp_path / "console.log", stack.markers, stack.ends_with)
    timeline = serial.tells(*GOOD.values())
    assert [fault.what for fault in timeline.faults] == ["the machine does not halt, as it was told to"]


def test_an_option_is_said_once_whatever_it_was_called_before() -> None:
    assert with_options("default shell\npath /a\n", {"failure_action": "halt"}) == (
        "path /a\nfailure_action halt\n"
    )
