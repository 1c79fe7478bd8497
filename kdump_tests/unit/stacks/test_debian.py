"""Debian's kdump-tools, by lines that 1.8.1 and 1.10.7 really printed."""

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.stack import DumpDirectory, Phase, SavedFile

PATTERNS = dict(Debian.markers.phases)


assert Debian.artifacts.dmesg
DMESG = Debian.artifacts.dmesg


def phases_told_by(line: str) -> set[Phase]:
    return {phase for phase, pattern in PATTERNS.items() if pattern.search(line)}


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("[  OK  ] Reached target local-fs.target - Local File Systems.", Phase.TARGET_MOUNTED),
        ("[   23.1] systemd[1]: Reached target local-fs.target - Local File Systems.", Phase.TARGET_MOUNTED),
        ("[  OK  ] Reached target Local File Systems.", Phase.TARGET_MOUNTED),
        ("kdump-tools[305]: kdump-tools: saved dmesg content in /var/crash/2026.", Phase.DMESG_SAVED),
        (
            "kdump-tools[305]: running makedumpfile -F -c -d 31 /proc/vmcore | compress > x.",
            Phase.DUMP_STARTED,
        ),
        ("kdump-tools[305]: running cp /proc/vmcore /var/crash/2026/vmcore-incomplete.", Phase.DUMP_STARTED),
        ("kdump-tools[305]: kdump-tools: saved vmcore in /var/crash/202611231034.", Phase.DUMP_SAVED),
    ],
)
def test_a_line_tells_one_phase(line: str, phase: Phase) -> None:
    assert phases_told_by(line) == {phase}


@pytest.mark.parametrize(
    "line",
    [
        "[  OK  ] Reached target local-fs-pre.target…Preparation for Local File Systems.",
        "[  OK  ] Reached target local-fs-pr…reparation for Local File Systems.",
        "[   43.2] kdump-tools[305]: running makedumpfile --dump-dmesg /proc/vmcore /var/crash/1/dmesg.1.",
        "[   43.6] kdump-tools[324]: The dmesg log is saved to /var/crash/1/dmesg.1.",
        "[   74.5] kdump-tools[328]: The dumpfile is saved to STDOUT.",
        "[   43.6] kdump-tools[324]: makedumpfile Completed.",
        "[   29.8] kdump-tools[230]: kdump-tools: failed to save dmesg content in /c/1 ... failed!",
        "[   29.8] kdump-tools[230]: kdump-tools: failed to save vmcore in /c/1 ... failed!",
    ],
)
def test_a_line_that_sounds_alike_tells_no_phase(line: str) -> None:
    assert phases_told_by(line) == set()


SSH = Debian().configured({"SSH": "kdump@dump-server", "KDUMP_COREDIR": "/srv/dumps"})
NFS = Debian().configured({"NFS": "dump-server:/srv/dumps"})
FTP = Debian().configured({"FTP": "dump-server:/srv/dumps", "FTP_USER": "kdump", "FTP_PASSWORD": "x"})


@pytest.mark.parametrize(
    ("stack", "line", "phase"),
    [
        (SSH, "running makedumpfile --dump-dmesg /proc/vmcore /tmp/dmesg.ssh.202611231034.",
         Phase.TARGET_MOUNTED),
        (SSH, "kdump-tools: saved dmesg content in kdump@dump-server:/srv/dumps/192.0.2.18-202611231034.",
         Phase.DMESG_SAVED),
        (SSH, "sending makedumpfile -l -d 31 -F /proc/vmcore to kdump@dump-server : /srv/x/dump-incomplete.",
         Phase.DUMP_STARTED),
        (SSH, "kdump-tools: saved vmcore in kdump@dump-server:/srv/dumps/192.0.2.18-202611231034.",
         Phase.DUMP_SAVED),
        (NFS, "Dumping to NFS mountpoint dump-server:/srv/dumps/202611231034.", Phase.TARGET_MOUNTED),
        (FTP, "saved dmesg content via FTP in dump-server:/srv/dumps/192.0.2.18-dmesg.202611231034.",
         Phase.DMESG_SAVED),
        (FTP, "sending makedumpfile -F -c -d 31 /proc/vmcore via FTP to dump-server:/srv/dumps/x-dump.2026.",
         Phase.DUMP_STARTED),
        (FTP, "sending /proc/vmcore via FTP to dump-server:/srv/dumps/x-dump.2026.", Phase.DUMP_STARTED),
        (FTP, "saved vmcore via FTP in dump-server:/srv/dumps/x-dump.2026.", Phase.DUMP_SAVED),
    ],
)  # fmt: skip
def test_a_line_of_a_dump_that_is_sent_tells_one_phase(stack: Debian, line: str, phase: Phase) -> None:
    assert [told for told, pattern in stack.markers.phases if pattern.search(line)] == [phase]


@pytest.mark.parametrize(
    ("stack", "line"),
    [
        (SSH, "kdump@dump-server: Permission denied (publickey,password)."),
        (SSH, "Host key verification failed."),
        (SSH, "kdump-tools: Unable to reach remote server kdump@dump-server; can't continue ... failed!"),
        (NFS, "kdump-tools: Unable to mount remote NFS directory dump-server:/srv. Cannot save core"),
        (FTP, "ftpput: unexpected server response to USER: 530 Login incorrect."),
    ],
)
def test_refusals_of_a_dump_server_are_failures(stack: Debian, line: str) -> None:
    assert stack.markers.failed.search(line)
    assert not Debian.markers.failed.search(line)


def test_reaching_for_the_network_again_is_no_failure() -> None:
    assert not SSH.markers.failed.search("Network not reachable; will try 15 more times.")


def test_the_sender_stands_before_the_time() -> None:
    sent = DumpDirectory("/srv/dumps/my-host-202611231034", 0o755, "kdump", ())
    assert SSH.sender_of(sent) == "my-host"
    assert Debian().sender_of(DumpDirectory("/var/crash/202611231034", 0o755, "root", ())) == ""
    uploaded = (SavedFile("my-host-dump.202611231034", 1, 0o600, "kdump"),)
    assert FTP.sender_of(DumpDirectory("/srv/dumps", 0o755, "kdump", uploaded)) == "my-host"


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("[   30.1] kdump-tools[272]: makedumpfile Failed.", True),
        (
            "[   29.8] kdump-tools[230]: kdump-tools: failed to save dmesg content in /c/1 ... failed!",
            True,
        ),
        ("[   29.8] kdump-tools[230]: kdump-tools: failed to save vmcore in /c/1 ... failed!", True),
        ("[   43.6] kdump-tools[324]: The makedumpfile operation may be incomplete.", False),
        ("[   43.6] kdump-tools[324]: The kernel version is not supported.", False),
        ("[   43.6] kdump-tools[324]: makedumpfile Completed.", False),
        ("[   19.5] systemd-ssh-generator[222]: Failed to query local AF_VSOCK CID", False),
    ],
)
def test_only_words_of_a_failed_capture_are_a_failure(line: str, failed: bool) -> None:
    assert bool(Debian.markers.failed.search(line)) is failed


@pytest.mark.parametrize(
    "name", ["dump.202611231034", "dump.202611231034.lz4", "dump.202611231034.gz", "dump.202611231034.xz"]
)
def test_a_vmcore_is_known_by_its_name(name: str) -> None:
    assert Debian.artifacts.vmcore.name.fullmatch(name)
    assert not DMESG.name.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["dump-incomplete", "dump.20261123", "dump.202611231034.part", "dump.202611231034\n",
     "vmcore.202611231034", "xdump.202611231034"],
)  # fmt: skip
def test_what_is_no_whole_dump_is_no_vmcore(name: str) -> None:
    assert not Debian.artifacts.vmcore.name.fullmatch(name)


def test_a_saved_log_is_known_by_its_name() -> None:
    assert DMESG.name.fullmatch("dmesg.202611231034")
    assert not DMESG.name.fullmatch("dmesg.202611231034.old")


def test_markers_stand_in_the_order_of_a_good_crash() -> None:
    ranks = [phase.rank for phase, _ in Debian.markers.phases]
    assert ranks == sorted(ranks)


def test_stacks_are_found_by_their_names() -> None:
    assert {name: stack.name for name, stack in STACKS.items()} == {
        name: name for name in ("debian", "el", "suse")
    }


@pytest.mark.parametrize(
    ("settings", "promised"),
    [
        ({}, {"dump.202611231034", "dump.202611231034.xz"}),  # the machine's own setting is not known
        ({"KDUMP_COMPRESSION": ""}, {"dump.202611231034"}),
        ({"KDUMP_COMPRESSION": "xz"}, {"dump.202611231034.xz"}),
    ],
)
def test_a_dump_that_was_to_be_packed_says_so_in_its_name(
    settings: dict[str, str], promised: set[str]
) -> None:
    name = Debian().configured(settings).artifacts.vmcore.name
    names = ("dump.202611231034", "dump.202611231034.xz", "dump.202611231034.gz.xz")
    assert {each for each in names if name.fullmatch(each)} == promised


def test_a_program_that_kdump_config_does_not_know_packs_nothing() -> None:
    with pytest.raises(BadInput, match="KDUMP_COMPRESSION=zstd"):
        Debian().configured({"KDUMP_COMPRESSION": "zstd"})


def test_without_a_kernel_log_none_is_promised() -> None:
    assert Debian().configured({"KDUMP_DUMP_DMESG": "0"}).artifacts.dmesg is None
    assert Debian().configured({"KDUMP_DUMP_DMESG": "1"}).artifacts.dmesg is not None


def test_number_of_dumps_is_promised_on_the_machine_itself_alone() -> None:
    settings = {"KDUMP_NUM_DUMPS": "2"}
    assert Debian().configured(settings).keeps == 2
    assert Debian().configured({"KDUMP_NUM_DUMPS": "0"}).keeps is None
    assert Debian().configured(settings | {"SSH": "kdump@dump-server"}).keeps is None
    with pytest.raises(BadInput, match="KDUMP_NUM_DUMPS=many is no number of dumps"):
        Debian().configured({"KDUMP_NUM_DUMPS": "many"})
