"""kdump.conf in the words of other stacks, and what they have no word for."""

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given

from kdump_tests.stacks.core_collector import Makedumpfile
from kdump_tests.stacks.dump_target import Raw, RootDisk, Ssh
from kdump_tests.stacks.kdump_conf import OPTIONS, FinalAction, KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.translation import Translation, to_debian, to_suse
from kdump_tests.unit.stacks.kdump_configs import configs

Translator = Callable[[KdumpConfig], Translation]


def said(text: str, to: Translator) -> tuple[dict[str, str], tuple[str, ...]]:
    """The settings that are not left to the stack, and the options that it cannot do."""
    translation = to(parse_kdump_conf(text))
    settings = {name: value for name, value in translation.settings.items() if value}
    return settings, tuple(each.option for each in translation.untranslated)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {"KDUMP_COREDIR": "/var/crash"}),
        ("path /srv/dumps", {"KDUMP_COREDIR": "/srv/dumps"}),
        ("nfs server:/export", {"NFS": "server:/export/var/crash"}),
        ("nfs server:/export/\npath /a/", {"NFS": "server:/export/a"}),
        ("nfs server:/\npath /", {"NFS": "server:/"}),
        ("nfs [2001:db8::1]:/export\npath dumps", {"NFS": "[2001:db8::1]:/export/dumps"}),
        ("ssh u@h\nsshkey /root/key\npath /srv",
         {"SSH": "u@h", "SSH_KEY": "/root/key", "KDUMP_COREDIR": "/srv"}),
        ("core_collector makedumpfile -z -d 17",
         {"KDUMP_COREDIR": "/var/crash", "MAKEDUMP_ARGS": "-z -d 17"}),
        # kdump-config puts -F there by itself.
        ("ssh u@h\ncore_collector makedumpfile -F -c",
         {"SSH": "u@h", "KDUMP_COREDIR": "/var/crash", "MAKEDUMP_ARGS": "-c"}),
        # Nothing at all would be its default, -c -d 31.
        ("core_collector makedumpfile", {"KDUMP_COREDIR": "/var/crash", "MAKEDUMP_ARGS": "-d 0"}),
        ("failure_action halt", {"KDUMP_COREDIR": "/var/crash", "KDUMP_FAIL_CMD": "halt -f"}),
        ("nfs s:/e\ndefault poweroff", {"NFS": "s:/e/var/crash", "KDUMP_FAIL_CMD": "poweroff -f"}),
        # The ordinary system mounts what /etc/fstab says, also for a capture.
        ("ext4 LABEL=dumps", {"KDUMP_COREDIR": "/mnt/kdump/var/crash"}),
        ("xfs /dev/vdb\npath /", {"KDUMP_COREDIR": "/mnt/kdump"}),
        # What Debian does anyway.
        ("ssh u@h\nfailure_action reboot\nfinal_action reboot",
         {"SSH": "u@h", "KDUMP_COREDIR": "/var/crash"}),
        ("force_rebuild 0\nauto_reset_crashkernel no", {"KDUMP_COREDIR": "/var/crash"}),
    ],
)  # fmt: skip
def test_debian_is_told(text: str, settings: dict[str, str]) -> None:
    assert said(text, to_debian) == (settings, ())


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("raw /dev/vdb", "raw"),
        ("virtiofs tag", "virtiofs"),
        ("dracut_args --mount '/dev/vdb1 /mnt ext4'", "dracut_args"),
        ("dracut_args --add x", "dracut_args"),
        ("ssh u@2001:db8::1", "ssh"),
        ("ssh u@h\npath dumps", "path"),
        ("core_collector cp", "core_collector"),
        ("failure_action shell", "failure_action"),
        ("failure_action dump_to_rootfs", "failure_action"),
        # `kdump-config savecore` is always content with what it did over SSH.
        ("ssh u@h\nfailure_action halt", "failure_action"),
        ("final_action halt", "final_action"),
        ("kdump_pre /bin/a", "kdump_pre"),
        ("kdump_post /bin/a", "kdump_post"),
        ("kdump_emergency /bin/a", "kdump_emergency"),
        ("extra_bins /bin/a", "extra_bins"),
        ("extra_modules e1000e", "extra_modules"),
        ("force_rebuild 1", "force_rebuild"),
        ("force_no_rebuild 1", "force_no_rebuild"),
        ("fence_kdump_args -p 1", "fence_kdump_args"),
        ("fence_kdump_nodes n", "fence_kdump_nodes"),
        ("auto_reset_crashkernel yes", "auto_reset_crashkernel"),
    ],
)
def test_debian_cannot(text: str, option: str) -> None:
    assert said(text, to_debian)[1] == (option,)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {"KDUMP_SAVEDIR": "/var/crash"}),
        ("nfs server:/export\npath a", {"KDUMP_SAVEDIR": "nfs://server/export/a"}),
        ("ssh u@h\nsshkey /root/key",
         {"KDUMP_SAVEDIR": "ssh://u@h/var/crash", "KDUMP_SSH_IDENTITY": "/root/key"}),
        ("core_collector makedumpfile -z -d 17",
         {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_DUMPLEVEL": "17", "KDUMP_DUMPFORMAT": "zstd"}),
        ("core_collector makedumpfile -c",
         {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_DUMPLEVEL": "0", "KDUMP_DUMPFORMAT": "compressed"}),
        ("core_collector makedumpfile -E -d 1,31 --message-level 7 --cyclic-buffer=8 -x /a$b",
         {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_DUMPLEVEL": "1", "KDUMP_DUMPFORMAT": "ELF",
          "MAKEDUMPFILE_OPTIONS": "--message-level 7 -d 1,31 --cyclic-buffer 8 -x '/a$b'"}),
        ("core_collector cp", {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_DUMPFORMAT": "raw"}),
        ("failure_action shell", {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_CONTINUE_ON_ERROR": "false"}),
        ("failure_action reboot\nfinal_action reboot",
         {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_CONTINUE_ON_ERROR": "true",
          "KDUMP_IMMEDIATE_REBOOT": "true"}),
        ("kdump_pre /bin/a\nkdump_post /bin/b\nextra_bins /bin/a /bin/c",
         {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_PRESCRIPT": "/bin/a", "KDUMP_POSTSCRIPT": "/bin/b",
          "KDUMP_REQUIRED_PROGRAMS": "/bin/a /bin/b /bin/c"}),
        ("auto_reset_crashkernel no", {"KDUMP_SAVEDIR": "/var/crash", "KDUMP_UPDATE_BOOTLOADER": "false"}),
    ],
)  # fmt: skip
def test_suse_is_told(text: str, settings: dict[str, str]) -> None:
    assert said(text, to_suse) == (settings, ())


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("btrfs LABEL=x", "btrfs"),
        ("raw /dev/vdb", "raw"),
        ("virtiofs tag", "virtiofs"),
        ("dracut_args --mount '/dev/vdb1 /mnt ext4'", "dracut_args"),
        ("dracut_args --add x", "dracut_args"),
        ("ssh u@2001:db8::1", "ssh"),
        ("ssh u:v@h", "ssh"),
        ("ssh u/v@h", "ssh"),
        ("ssh u@h\npath dumps", "path"),
        ("nfs [2001:db8::1]:/export", "nfs"),
        ("core_collector makedumpfile -d 31", "core_collector"),
        ("core_collector cp --sparse=always", "core_collector"),
        ("failure_action halt", "failure_action"),
        ("failure_action dump_to_rootfs", "failure_action"),
        ("final_action poweroff", "final_action"),
        ("kdump_emergency /bin/a", "kdump_emergency"),
        ("extra_modules e1000e", "extra_modules"),
        ("force_rebuild 1", "force_rebuild"),
        ("force_no_rebuild 1", "force_no_rebuild"),
        ("fence_kdump_args -p 1", "fence_kdump_args"),
        ("fence_kdump_nodes n", "fence_kdump_nodes"),
    ],
)
def test_suse_cannot(text: str, option: str) -> None:
    assert said(text, to_suse)[1] == (option,)


@pytest.mark.parametrize("to", [to_debian, to_suse])
def test_why_is_said(to: Translator) -> None:
    (untranslated,) = to(KdumpConfig(target=Raw("/dev/vdb"))).untranslated
    assert str(untranslated) == "raw: dumps are saved to files"


def test_suse_writes_to_the_boot_loader_only_if_it_is_asked_to() -> None:
    assert "KDUMP_UPDATE_BOOTLOADER" not in to_suse(KdumpConfig(final_action=FinalAction.REBOOT)).settings


@pytest.mark.parametrize("to", [to_debian, to_suse])
@given(config=configs())
def test_one_configuration_leaves_nothing_of_another(to: Translator, config: KdumpConfig) -> None:
    # Whether kdump writes to the boot loader is the machine's, unless that is what was asked for.
    told = to(config).settings.keys() - {"KDUMP_UPDATE_BOOTLOADER"}
    assert told == to(KdumpConfig()).settings.keys()


@pytest.mark.parametrize("to", [to_debian, to_suse])
@given(config=configs())
def test_what_is_left_over_is_an_option_that_was_given(to: Translator, config: KdumpConfig) -> None:
    given_names = {line.split(" ")[0] for line in str(config).splitlines()}
    assert {each.option for each in to(config).untranslated} <= given_names


# Something other than any stack's default, for every option that there is.
EXAMPLES = {
    "failure_action": "halt", "default": "halt", "final_action": "halt", "force_rebuild": "1",
    "force_no_rebuild": "1", "auto_reset_crashkernel": "yes", "nfs": "server:/export", "ssh": "user@host",
}  # fmt: skip


@pytest.mark.parametrize("to", [to_debian, to_suse])
@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_no_option_is_dropped_without_a_word(to: Translator, option: str) -> None:
    translation = to(parse_kdump_conf(f"{option} {EXAMPLES.get(option, '/x')}"))
    assert translation.untranslated or translation.settings != to(KdumpConfig()).settings


def test_makedumpfile_gets_its_options_as_words() -> None:
    """kdump-save evaluates the command once, so what a shell would touch is quoted."""
    config = KdumpConfig(core_collector=Makedumpfile((1,), elf=True, others=("-x /a;b", "-D")))
    options = to_suse(config).settings["MAKEDUMPFILE_OPTIONS"]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {options}"], capture_output=True, text=True, check=True
    )
    assert words.stdout.splitlines() == ["-x", "/a;b", "-D"]


def test_a_key_is_kept_for_a_target_that_has_no_use_for_it() -> None:
    config = KdumpConfig(target=RootDisk(), sshkey="/root/key")
    assert to_debian(config).settings["SSH_KEY"] == "/root/key"
    assert to_debian(KdumpConfig(target=Ssh("u", "h"))).settings["SSH_KEY"] == ""
