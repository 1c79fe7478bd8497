"""core_collector: which program copies the vmcore, and what makedumpfile would say of its options."""

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.stacks.core_collector import Collector, Command, Compression, Makedumpfile
from kdump_tests.stacks.kdump_conf import parse_kdump_conf

INVALID = """\
Commandline parameter is invalid.
Try `makedumpfile --help' for more information.
makedumpfile parameter check failed."""


def kdumpctl_says(text: str) -> str:
    with pytest.raises(BadInput) as refusal:
        parse_kdump_conf(text)
    return refusal.value.facts["kdumpctl says"]


@pytest.mark.parametrize(
    ("value", "collector"),
    [
        ("makedumpfile", Makedumpfile()),
        ("makedumpfile -l --message-level 7 -d 31",
         Makedumpfile((31,), Compression.LZO, message_level=7)),
        ("makedumpfile -cd31", Makedumpfile((31,), Compression.ZLIB)),
        ("makedumpfile -d 1,31 -z", Makedumpfile((1, 31), Compression.ZSTD)),
        ("makedumpfile -E -d 0", Makedumpfile((0,), elf=True)),
        ("makedumpfile -p --num-threads=4", Makedumpfile((), Compression.SNAPPY, num_threads=4)),
        ("makedumpfile --mess 31 --num 0", Makedumpfile(num_threads=0, message_level=31)),
        # Of several, the last counts.
        ("makedumpfile -d 1 -c -d 31 -l", Makedumpfile((31,), Compression.LZO)),
        ("makedumpfile -D --cyclic-buffer=512 -x /vmlinux -X",
         Makedumpfile(others=("-D", "--cyclic-buffer 512", "-x /vmlinux", "-X"))),
        ('"cp --sparse=always"', Command("cp", ("--sparse=always",))),
        ("scp", Command("scp")),
        ("/usr/local/sbin/makedumpfile -d 99", Command("/usr/local/sbin/makedumpfile", ("-d", "99"))),
    ],
)  # fmt: skip
def test_a_collector_is_read(value: str, collector: Collector) -> None:
    assert parse_kdump_conf(f"core_collector {value}").core_collector == collector


def test_a_collector_is_printed_in_one_way() -> None:
    config = parse_kdump_conf("ssh u@h\ncore_collector makedumpfile -d31 -z --mess=7 -F")
    assert str(config.core_collector) == "makedumpfile -F -z --message-level 7 -d 31"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("-d 32", "Dump_level(32) is invalid.\nmakedumpfile parameter check failed."),
        ("-d -1", "Dump_level(-1) is invalid.\nmakedumpfile parameter check failed."),
        ("-d 31,32", "Dump_level(32) is invalid.\nmakedumpfile parameter check failed."),
        (f"-d {'1,' * 32}1", "Dump_level is invalid.\nmakedumpfile parameter check failed."),
        (
            "--mess 32 --message-level 7",
            "Message_level(32) is invalid.\nmakedumpfile parameter check failed.",
        ),
        ("--message-level 32", "Message_level(32) is invalid.\nmakedumpfile parameter check failed."),
        ("-L foo", "Limit size(foo) is invalid.\nmakedumpfile parameter check failed."),
        ("-L 0", "Limit size(0) is invalid.\nmakedumpfile parameter check failed."),
        ("-L 08", "Limit size(08) is invalid.\nmakedumpfile parameter check failed."),
        # They are looked at one after the other.
        ("-d 32 --banana", "Dump_level(32) is invalid.\nmakedumpfile parameter check failed."),
        ("-d all", "nothing; makedumpfile takes it for 0"),
        ("-d 31x", "nothing; makedumpfile takes it for 31"),
        ("--reassemble", "nothing; it takes the two files for others"),
        ("-d 1,,31", "nothing; makedumpfile passes it over"),
        ("--num-threads many", "nothing; makedumpfile takes it for 0"),
        ("--num-threads -2", "nothing; makedumpfile takes it for 0"),
    ],
)
def test_a_number_is_in_its_range(options: str, says: str) -> None:
    assert kdumpctl_says(f"core_collector makedumpfile {options}") == says


@pytest.mark.parametrize(
    "options",
    ["-w", "-lw", "--banana", "--xen /x", "--split=2", "-d", "--num-threads", "-x", "31", "-l /proc/vmcore",
     "-", "--", "-g /v", "-R", "--reassemble -c", "-c -E", "-i /v -x /v", "--config /c",
     "--split -l", "--partial-dmesg", "-i /a --xen-syms /b", "--xen-vmcoreinfo /a -x /b", "--diskset /a"],
)  # fmt: skip
def test_what_makedumpfile_does_not_take_is_refused(options: str) -> None:
    assert kdumpctl_says(f"core_collector makedumpfile {options}") == INVALID


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("-E --num-threads 2", "--num-threads cannot used with ELF format."),
        ("-e", "-e requires --work-dir"),
        ("--dump-dmesg --dry-run", "--dry-run cannot be used with --dump-dmesg."),
    ],
)
def test_what_makedumpfile_explains_is_explained(options: str, reason: str) -> None:
    assert kdumpctl_says(f"core_collector makedumpfile {options}") == f"{reason}\n{INVALID}"


@pytest.mark.parametrize("target", ["ssh user@host", "raw /dev/vdb"])
def test_what_goes_through_a_pipe_is_flattened(target: str) -> None:
    collector = parse_kdump_conf(f"core_collector makedumpfile -F -l\n{target}").core_collector
    assert collector == Makedumpfile((), Compression.LZO, flatten=True)
    needs = 'The specified dump target needs makedumpfile "-F" option.'
    assert kdumpctl_says(f"{target}\ncore_collector makedumpfile -l -d 31") == needs
    assert kdumpctl_says(f"{target}\ncore_collector makedumpfile -lF") == needs
    assert kdumpctl_says(f"{target}\ncore_collector makedumpfile --work-dir /x-F") == INVALID


def test_a_flag_that_the_capture_kernel_would_cut_out_of_a_word_is_refused() -> None:
    says = "nothing; the capture kernel's script cuts the two characters out of the word"
    assert kdumpctl_says("raw /dev/vdb\ncore_collector makedumpfile -Fl") == says


@pytest.mark.parametrize("target", ["", "ext4 /dev/vdb1", "nfs server:/export", "virtiofs tag"])
def test_what_is_written_to_a_file_is_not_flattened(target: str) -> None:
    assert kdumpctl_says(f"{target}\ncore_collector makedumpfile -F -l -d 31") == INVALID


@pytest.mark.parametrize("target", ["ssh user@host", "raw /dev/vdb", ""])
def test_other_programs_are_taken_at_any_target(target: str) -> None:
    assert parse_kdump_conf(f"{target}\ncore_collector cat").core_collector == Command("cat")
