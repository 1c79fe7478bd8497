"""/etc/kdump.conf: what it says, and what kdump would not start with."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.errors import BadInput
from kdump_tests.stacks.core_collector import Command, Compression, Makedumpfile
from kdump_tests.stacks.dump_target import (
    By,
    DracutMount,
    FileSystem,
    Nfs,
    Partition,
    Raw,
    RootDisk,
    Ssh,
    Target,
    Virtiofs,
)
from kdump_tests.stacks.kdump_conf import (
    OPTIONS,
    SINCE,
    FailureAction,
    FinalAction,
    Generation,
    KdumpConfig,
    parse_kdump_conf,
)
from kdump_tests.unit.stacks.kdump_configs import configs

# Options that a file may begin with, and others that people write.
NAMES = sorted({*OPTIONS, "net", "nfs4", "paht", "#"})


def refusal_of(text: str, generation: Generation = Generation.KDUMP_UTILS_2026) -> BadInput:
    with pytest.raises(BadInput) as refusal:
        parse_kdump_conf(text, generation)
    return refusal.value


def kdumpctl_says(text: str) -> str:
    return refusal_of(text).facts["kdumpctl says"]


def test_a_whole_file_is_read() -> None:
    config = parse_kdump_conf("""\
# Where dumps go to
ssh kdump@dumps.example   # a server of the laboratory
sshkey /root/.ssh/kdump_id_rsa
path /srv/dumps

core_collector makedumpfile -F -l --message-level 7 -d 31
\tfailure_action   shell
final_action poweroff
kdump_post /usr/local/bin/tell
extra_bins /usr/bin/lftp /usr/bin/strace
extra_modules e1000e
dracut_args --omit-drivers "cfg80211 snd" --add-drivers "ext2 ext3"
force_rebuild 1
fence_kdump_args -p 7410 -f auto
fence_kdump_nodes node1 node2
auto_reset_crashkernel no
""")
    assert config == KdumpConfig(
        target=Ssh("kdump", "dumps.example"),
        sshkey="/root/.ssh/kdump_id_rsa",
        path="/srv/dumps",
        core_collector=Makedumpfile((31,), Compression.LZO, flatten=True, message_level=7),
        failure_action=FailureAction.SHELL,
        final_action=FinalAction.POWEROFF,
        kdump_post="/usr/local/bin/tell",
        extra_bins=("/usr/bin/lftp", "/usr/bin/strace"),
        extra_modules=("e1000e",),
        dracut_args='--omit-drivers "cfg80211 snd" --add-drivers "ext2 ext3"',
        force_rebuild=True,
        fence_kdump_args="-p 7410 -f auto",
        fence_kdump_nodes=("node1", "node2"),
        auto_reset_crashkernel=False,
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# path /var/crash", " \t # nothing\n"])
def test_an_empty_file_is_the_default(text: str) -> None:
    assert parse_kdump_conf(text) == KdumpConfig()


@given(configs())
def test_what_is_printed_reads_back_as_the_same(config: KdumpConfig) -> None:
    assert parse_kdump_conf(str(config)) == config


@given(st.text() | st.lists(st.tuples(st.sampled_from(NAMES), st.text())).map(
    lambda lines: "\n".join(f"{name} {value}" for name, value in lines)
))  # fmt: skip
def test_any_text_is_a_configuration_or_is_refused(text: str) -> None:
    with suppress(BadInput):
        config = parse_kdump_conf(text)
        assert parse_kdump_conf(str(config)) == config


@given(st.lists(st.text("-FEldcegxRpz=,0319", min_size=1).map(lambda word: f" -{word}")), st.booleans())
def test_any_options_of_makedumpfile_are_read_or_refused(words: list[str], piped: bool) -> None:
    with suppress(BadInput):
        config = parse_kdump_conf(f"core_collector makedumpfile{''.join(words)}\n{'raw /dev/vdb' * piped}")
        assert parse_kdump_conf(str(config)) == config


def test_an_error_points() -> None:
    refusal = refusal_of("# mine\n  path  var/crash # at home\n")
    assert (
        str(refusal)
        == """\
this is no kdump.conf: without a target, path begins with /
  line            2
  it reads          path  var/crash # at home
                          ^
  kdumpctl says   Dump path var/crash does not exist."""
    )


@pytest.mark.parametrize(
    ("text", "pointed_at"),
    [
        ("paht /x", "paht"),
        ("\tpath\t /x\n path /y", "path"),
        ('path "  x"', 'x"'),
        ("ssh user@Host", "Host"),
        ("core_collector makedumpfile -l -d 32", "-d"),
        ("core_collector makedumpfile -lw", "w"),
        ("kdump_pre /bin/pre --fast", "--fast"),
        ("dracut_args --add x --mount y", "--mount"),
        ("path /var/crash\r", "\r"),
    ],
)
def test_the_pointer_stands_under_what_is_wrong(text: str, pointed_at: str) -> None:
    refusal = refusal_of(text)
    line = text.split("\n")[int(refusal.facts["line"]) - 1]
    assert line[refusal.facts["it reads"].splitlines()[1].index("^") :].startswith(pointed_at)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/var/crash#1", "/var/crash"),  # a comment begins anywhere
        ("/var/crash   # here", "/var/crash"),
        ('"/srv/my dumps"', "/srv/my dumps"),
        ('" /srv "', "/srv"),
        ("/srv/my dumps", "/srv/my dumps"),
        ('/srv/"x"', '/srv/"x"'),
    ],
)
def test_a_value_is_what_is_left_without_comment_and_quotes(value: str, path: str) -> None:
    assert parse_kdump_conf(f"path {value}").path == path


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("", RootDisk()),
        ("ext4 /dev/vg/kdump", Partition(FileSystem.EXT4, "/dev/vg/kdump")),
        ("xfs UUID=03138356-5e61", Partition(FileSystem.XFS, "03138356-5e61", By.UUID)),
        ('btrfs UUID="03138356-5e61"', Partition(FileSystem.BTRFS, "03138356-5e61", By.UUID)),
        ("ext4 LABEL=/boot", Partition(FileSystem.EXT4, "/boot", By.LABEL)),
        ("minix LABEL=my dumps", Partition(FileSystem.MINIX, "my dumps", By.LABEL)),
        ("nfs my.server.com:/export/tmp", Nfs("my.server.com", "/export/tmp")),
        ("nfs [2001:db8::1]:/export", Nfs("[2001:db8::1]", "/export")),
        ("ssh user@my.server.com", Ssh("user", "my.server.com")),
        ("ssh user@2001:db8::1:2", Ssh("user", "2001:db8::1:2")),
        ("raw /dev/vg/kdump", Raw("/dev/vg/kdump")),
        ("virtiofs myfs", Virtiofs("myfs")),
        ('dracut_args --mount "/dev/vdb1 /mnt ext4 defaults,ro"',
         DracutMount("/dev/vdb1", "/mnt", "ext4", "defaults,ro")),
        ("dracut_args --add x --mount '10.0.0.1:/e /mnt nfs' --omit y",
         DracutMount("10.0.0.1:/e", "/mnt", "nfs")),
    ],
)  # fmt: skip
def test_a_target_is_named_by_one_line(line: str, target: Target) -> None:
    assert parse_kdump_conf(line).target == target


def test_dracut_args_are_kept_without_the_mount() -> None:
    config = parse_kdump_conf("dracut_args --add x  --mount '/dev/vdb1 /mnt xfs' --omit \"y z\"")
    assert config.dracut_args == '--add x --omit "y z"'
    assert str(config) == 'dracut_args --add x --omit "y z" --mount "/dev/vdb1 /mnt xfs"\n'


def test_the_path_of_a_raw_target_is_where_the_next_start_puts_the_dump() -> None:
    # The manual page calls it ignored; save_raw() of kdumpctl uses it.
    assert parse_kdump_conf("raw /dev/vdb\npath /srv/dumps").path == "/srv/dumps"


@pytest.mark.parametrize("target", ["nfs server:/export", "ssh user@host", "ext4 /dev/vdb1", "virtiofs tag"])
def test_a_path_is_relative_to_a_target(target: str) -> None:
    assert parse_kdump_conf(f"{target}\npath dumps").path == "dumps"


def test_a_key_without_ssh_is_no_fault() -> None:
    assert parse_kdump_conf("sshkey /root/.ssh/kdump_id_rsa").sshkey == "/root/.ssh/kdump_id_rsa"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paht /var/crash", "Invalid kdump config option paht"),
        ("Path /var/crash", "Invalid kdump config option Path"),
        ("path: /var/crash", "Invalid kdump config option path:"),
        ("nfs4 server:/export", "Invalid kdump config option nfs4"),
        ("override_resettable 1", "Invalid kdump config option override_resettable"),
        ("kdump_transfer x", "Invalid kdump config option kdump_transfer"),
    ],
)
def test_an_unknown_option_is_refused(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


@pytest.mark.parametrize(
    "name", ["net", "options", "link_delay", "disk_timeout", "debug_mem_level", "blacklist"]
)
def test_a_deprecated_option_is_refused_and_says_what_took_its_place(name: str) -> None:
    refusal = refusal_of(f"{name} 3")
    assert refusal.facts["kdumpctl says"] == (
        f"Deprecated kdump config option: {name}. Refer to kdump.conf manpage for alternatives."
    )
    assert refusal.facts["way out"]


@pytest.mark.parametrize(
    ("name", "way_out"), [("nfs4", "nfs"), ("paht", "path"), ("core_colector", "core_collector")]
)
def test_an_unknown_option_is_told_what_it_is_like(name: str, way_out: str) -> None:
    assert refusal_of(f"{name} x").facts["way out"] == way_out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path", "Invalid kdump config value for option 'path'"),
        ("path # none", "Invalid kdump config value for option 'path'"),
        ('core_collector ""', "Invalid kdump config value for option 'core_collector'"),
        ("nfs", "Invalid kdump config value for option '_target'"),
        ("default", "Invalid kdump config value for option 'failure_action'"),
        ("dracut_args --mount=/dev/vdb1", "Invalid kdump config value for option '_fstype'"),
        ("dracut_args --mount x", "Invalid kdump config value for option '_fstype'"),
        ('dracut_args --mount "/dev/vdb1 /mnt"', "Invalid kdump config value for option '_fstype'"),
        ('dracut_args --mount " /mnt ext4"', "Invalid kdump config value for option '_target'"),
    ],
)
def test_an_option_has_a_value(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path /a\npath /b", "Duplicated kdump config value of option path"),
        ("path /a\npath /a", "Duplicated kdump config value of option path"),
        ("failure_action halt\ndefault halt", "Duplicated kdump config value of option failure_action"),
        ("default halt\ndefault halt", "Duplicated kdump config value of option failure_action"),
        ("dracut_args -a x\ndracut_args -a y", "Duplicated kdump config value of option dracut_args"),
        ("ext4 /dev/vdb1\nxfs /dev/vdb1", "More than one dump targets specified"),
        ("nfs server:/export\nnfs server:/export", "More than one dump targets specified"),
        ("raw /dev/vdb\nssh", "More than one dump targets specified"),
        ("raw /dev/vdb\ndracut_args --mount '/dev/vdb1 /mnt ext4'", "More than one dump targets specified"),
        ('dracut_args --mount "a b c" --mount "d e f"',
         'Multiple mount targets specified in one "dracut_args".'),
    ],
)  # fmt: skip
def test_nothing_is_said_twice(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failure_action explode", "failure_action {reboot|halt|poweroff|shell|dump_to_rootfs}"),
        ("default none", "failure_action {reboot|halt|poweroff|shell|dump_to_rootfs}"),
        ("final_action shell", "final_action {reboot|halt|poweroff}"),
        ("final_action dump_to_rootfs", "final_action {reboot|halt|poweroff}"),
    ],
)
def test_an_action_is_one_that_there_is(text: str, says: str) -> None:
    assert kdumpctl_says(text) == f"Usage kdump.conf: {says}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("force_rebuild yes", "Error: force_rebuild value is invalid"),
        ("force_no_rebuild 2", "Error: force_no_rebuild value is invalid"),
        ("force_rebuild 1\nforce_no_rebuild 1",
         "Error: force_rebuild and force_no_rebuild are enabled simultaneously in kdump.conf"),
    ],
)  # fmt: skip
def test_to_rebuild_and_not_to_rebuild_exclude_each_other(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


def test_to_rebuild_may_be_denied_twice() -> None:
    config = parse_kdump_conf("force_rebuild 0\nforce_no_rebuild 1")
    assert (config.force_rebuild, config.force_no_rebuild) == (False, True)


NO_LOGIN = (
    "Please verify that /etc/kdump.conf contains 'ssh <user>@<host>' and that it is properly formatted."
)
NO_NFS = " Please make sure nfs-utils has been installed, and nfs server is accessible."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ssh my.server.com", NO_LOGIN),
        ("ssh @host", "Invalid ssh destination @host provided."),
        ("ssh user@Host", "Invalid ssh destination user@Host provided."),
        ("ssh user@host -p 22", "Invalid ssh destination user@host -p 22 provided."),
        ("ssh a@b@c", "Invalid ssh destination a@b@c provided."),
        (
            "ssh user@",
            "Could not create user@:…, ipaddr is not ready yet. You should check network connection",
        ),
        ("ssh user@[2001:db8::1]", "nothing; ssh looks up the brackets too"),
        ("nfs server", f"Failed to mount server for kdump preflight check.{NO_NFS}"),
        ("nfs server:export", f"Failed to mount server:export for kdump preflight check.{NO_NFS}"),
        ("nfs 2001:db8::1:/x", f"Failed to mount 2001:db8::1:/x for kdump preflight check.{NO_NFS}"),
        ("ext4 vdb1", "Failed to mount vdb1 for kdump preflight check."),
        ("ext4 UUID=", "Failed to mount UUID= for kdump preflight check."),
        ("xfs PARTUUID=1", "Failed to mount PARTUUID=1 for kdump preflight check."),
        ("raw UUID=1", "Bad raw disk UUID=1"),
        ("path var/crash", "Dump path var/crash does not exist."),
        ("dracut_args --mount /dev/vdb1", "nothing; it reads other words than dracut"),
        ("dracut_args --mount /dev/vdb1 /mnt ext4", "nothing; it reads other words than dracut"),
        ("dracut_args --mount '/dev/vdb1  ext4'", "nothing; it reads other words than dracut"),
    ],
)
def test_a_target_that_cannot_be_is_refused(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kdump_pre /bin/pre --fast", "Error: --fast not found."),
        ("kdump_emergency /bin/a /bin/b", "Error: /bin/b not found."),
        ("auto_reset_crashkernel true", "nothing; it takes all but no for yes"),
        ("path /var/crash\r", "nothing; it takes the character for a part of the value"),
        ("path /var/\u00a0crash", "nothing; it takes the character for a part of the value"),
    ],
)
def test_what_means_something_else_than_it_says_is_refused(text: str, says: str) -> None:
    assert kdumpctl_says(text) == says


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # Lines come first, in their order, then actions, ssh and rebuilding, then what mkdumprd looks at.
        ("final_action x\npaht /x", "Invalid kdump config option paht"),
        ("net x\npaht /x", "Deprecated kdump config option: net."),
        ("final_action x\nfailure_action x", "Usage kdump.conf: failure_action"),
        ("ssh host\nfinal_action x", "Usage kdump.conf: final_action"),
        ("force_rebuild 2\nssh host", "Please verify"),
        ("nfs x\nforce_rebuild 2", "Error: force_rebuild"),
        ("core_collector makedumpfile -d 32\nforce_no_rebuild 2", "Error: force_no_rebuild"),
        ("core_collector makedumpfile -d 32\nnfs x", "Dump_level(32)"),
        ("raw x\ncore_collector makedumpfile -d 32", "Bad raw disk"),
    ],
)
def test_the_first_fault_is_the_one_that_kdump_meets_first(text: str, first: str) -> None:
    assert kdumpctl_says(text).startswith(first)


@pytest.mark.parametrize("option", SINCE)
def test_an_option_is_unknown_before_it_came(option: str) -> None:
    value = {"failure_action": "halt", "final_action": "halt", "force_no_rebuild": "1",
             "auto_reset_crashkernel": "no"}.get(option, "x")  # fmt: skip
    before = list(Generation)[SINCE[option].rank - 1]
    refusal = refusal_of(f"{option} {value}", before)
    assert refusal.facts["kdumpctl says"] == f"Invalid kdump config option {option}"
    assert refusal.facts["known since"] == SINCE[option]
    config = parse_kdump_conf(f"{option} {value}", SINCE[option])
    assert config != KdumpConfig()


def test_an_older_kdump_is_told_the_older_name() -> None:
    config = KdumpConfig(failure_action=FailureAction.SHELL)
    assert str(config) == "failure_action shell\n"
    assert config.text(Generation.KEXEC_TOOLS_2_0_14) == "default shell\n"
    assert parse_kdump_conf("default shell", Generation.KEXEC_TOOLS_2_0_14) == config


def test_an_older_kdump_is_told_nothing_that_it_does_not_know() -> None:
    with pytest.raises(BadInput, match=r"kexec-tools 2.0.23 does not know virtiofs") as refusal:
        KdumpConfig(target=Virtiofs("tag")).text(Generation.KEXEC_TOOLS_2_0_23)
    assert refusal.value.facts["known since"] == "kexec-tools 2.0.25"


def test_a_program_of_another_name_is_not_looked_into() -> None:
    config = parse_kdump_conf("raw /dev/vdb\ncore_collector dd bs=512 if=/proc/vmcore")
    assert config.core_collector == Command("dd", ("bs=512", "if=/proc/vmcore"))
