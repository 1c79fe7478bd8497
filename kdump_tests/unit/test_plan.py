"""A plan that cannot be carried out is refused before anything starts, and says why."""

from pathlib import Path

import pytest

from kdump_tests.crash.trigger import Trigger
from kdump_tests.errors import BadInput, ImageError
from kdump_tests.plan import Plan
from kdump_tests.sizes import GIB, MIB
from kdump_tests.stacks import STACKS
from kdump_tests.stacks.topology import Topology


def refusal(**choices: object) -> BadInput:
    guests = {} if "host" in choices else {"memory": "1G"}
    with pytest.raises(BadInput) as caught:
        Plan.of(**{**guests, **choices})
    return caught.value


def test_what_is_not_chosen_takes_its_default() -> None:
    plan = Plan.of(memory="1G", image=None, vcpus=None, crashkernel=None)
    assert (plan.image, plan.vcpus, plan.crashkernel, plan.accelerator) == ("debian-12", 1, "auto", "auto")


def test_memory_tiers_keep_their_order() -> None:
    plan = Plan.of(memory="4G,512M, 2G")
    assert plan.memory == (4 * GIB, 512 * MIB, 2 * GIB)
    assert [plan.spec(memory, None).name for memory in plan.memory] == [
        "debian-12-4G",
        "debian-12-512M",
        "debian-12-2G",
    ]


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ("banana", "'banana' is not a memory size"),
        ("", "'' is not a memory size"),
        ("1G,", "'' is not a memory size"),
        ("-1G", "'-1G' is not a memory size"),
        ("1G,1024M", "names a tier twice"),
        ("128M", "a guest cannot have 128M of memory"),
        ("1G,0", "a guest cannot have 0 of memory"),
        ("1073741825", "a guest cannot have 1073741825 of memory"),
        (7, "7 is not a list of memory sizes"),
    ],
)
def test_memory_that_cannot_be_is_refused(memory: object, message: str) -> None:
    assert message in refusal(memory=memory).message


@pytest.mark.parametrize(
    ("choice", "wrong"),
    [
        ({"vcpus": "0"}, "vcpus: "),
        ({"vcpus": "65"}, "vcpus: "),
        ({"vcpus": "two"}, "vcpus: "),
        ({"accelerator": "hvf"}, "accelerator: "),
        ({"bananas": 3}, "bananas: "),
    ],
)
def test_a_choice_that_cannot_be_is_named(choice: dict[str, object], wrong: str) -> None:
    assert refusal(**choice).facts["wrong"].startswith(wrong)


def test_all_that_is_wrong_is_said_at_once() -> None:
    faults = refusal(vcpus="0", accelerator="hvf").facts["wrong"].splitlines()
    assert [fault.partition(":")[0] for fault in faults] == ["vcpus", "accelerator"]


@pytest.mark.parametrize("crashkernel", ["1G", "2G", "2G-:192M"])
def test_a_reservation_that_no_tier_can_keep_aside_is_refused(crashkernel: str) -> None:
    error = refusal(crashkernel=crashkernel)
    assert error.message == f"crashkernel={crashkernel} keeps nothing aside on a machine of 1G"
    assert error.facts["way out"]


def test_first_tier_that_is_promised_memory_is_crashed() -> None:
    assert Plan.of(memory="1G,2G,4G").crashed(16 * GIB) == GIB
    assert Plan.of(memory="512M,2G,4G", crashkernel="1G-:192M").crashed(16 * GIB) == 2 * GIB
    assert Plan.of(memory="512M,1G,4G", policy="rhel10").crashed(16 * GIB) == 4 * GIB


def test_tiers_beyond_the_host_are_not_booted() -> None:
    plan = Plan.of(memory="64G,1G,1T,4G", crashkernel="8G-:192M")
    assert plan.booted(8 * GIB) == (GIB, 4 * GIB)
    # Nothing that can be booted is promised any: the checks shall say so, not we.
    assert plan.crashed(8 * GIB) == GIB
    with pytest.raises(BadInput, match="no tier of --memory can be booted here"):
        plan.booted(GIB - 1)


@pytest.mark.parametrize("crashkernel", ["banana", "", "192M,,"])
def test_a_crashkernel_that_is_none_is_refused(crashkernel: str) -> None:
    assert isinstance(refusal(crashkernel=crashkernel), BadInput)


@pytest.mark.parametrize("crashkernel", ["auto", "none", "192M", "512M-:192M"])
def test_a_crashkernel_that_can_be_is_taken(crashkernel: str) -> None:
    assert Plan.of(memory="1G", crashkernel=crashkernel).crashkernel == crashkernel


def test_the_plan_is_shown_in_words() -> None:
    shown = Plan.of(memory="1G,2G", kernel_arguments=("quiet", "panic=5")).shown()
    assert shown["memory tiers"] == "1G, 2G"
    assert shown["kernel arguments"] == "quiet panic=5"
    assert shown["triggers"] == "sysrq-c"


def test_policy_stands_in_for_auto_alone() -> None:
    assert Plan.of(memory="1G", policy="rhel9").policy == "rhel9"
    assert refusal(policy="rhel9", crashkernel="256M").message == "--policy rhel9 would not be used"


def test_unknown_policy_is_refused() -> None:
    assert refusal(policy="rhel99").message == "there is no policy 'rhel99'"


def test_kdump_conf_becomes_the_stacks_own_settings(tmp_path: Path) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text("path /srv/dumps\ncore_collector makedumpfile -c -d 17\nextra_modules virtio_blk\n")
    plan = Plan.of(memory="1G", kdump_conf=conf, kdump_settings=["KDUMP_FAIL_CMD=reboot -f"])
    assert plan.settings["KDUMP_COREDIR"] == "/srv/dumps"
    assert plan.settings["MAKEDUMP_ARGS"] == "-c -d 17"
    assert plan.settings["KDUMP_FAIL_CMD"] == "reboot -f"
    assert [each.option for each in plan.untranslated] == ["extra_modules"]
    assert "extra_modules virtio_blk" in plan.shown()["kdump.conf"]


def test_trigger_is_chosen_by_its_name() -> None:
    assert Plan.of(memory="1G").triggers == (Trigger.SYSRQ_C,)
    assert Plan.of(memory="1G", triggers="all").triggers == tuple(Trigger)
    error = refusal(triggers="sysrq-c,axe")
    assert error.message == "there is no trigger 'axe'"
    assert error.facts["known"].startswith("sysrq-c, sysrq-c-on-first-cpu, ")
    assert "twice" in refusal(triggers="hung-task,hung-task").message


def test_each_trigger_has_a_guest_of_its_own() -> None:
    plan = Plan.of(memory="1G,2G", triggers="out-of-memory,hung-task")
    first, second = plan.crashes(16 * GIB)
    assert first == plan.spec(GIB, None)  # whose tier is looked at besides
    assert (first.name, second.name) == ("debian-12-1G", "debian-12-1G-hung-task")
    assert (plan.trigger(first), plan.trigger(second)) == (Trigger.OUT_OF_MEMORY, Trigger.HUNG_TASK)


def test_trigger_that_takes_more_cpus_has_another_machine_than_the_tier() -> None:
    plan = Plan.of(memory="1G", triggers="sysrq-c-on-last-cpu,sysrq-c")
    last, plain = plan.crashes(16 * GIB)
    assert (last.name, last.vcpus) == ("debian-12-1G-sysrq-c-on-last-cpu", 2)
    assert (plain.name, plain.vcpus) == ("debian-12-1G-sysrq-c", 1)
    assert [plan.trigger(spec) for spec in (last, plain)] == list(plan.triggers)


def test_no_trigger_takes_cpus_away() -> None:
    plan = Plan.of(memory="1G", vcpus=4, triggers="sysrq-c-on-last-cpu,sysrq-c")
    assert [spec.vcpus for spec in plan.crashes(16 * GIB)] == [4, 4]


def test_without_kdump_conf_nothing_is_set() -> None:
    plan = Plan.of(memory="1G")
    assert (plan.settings, plan.untranslated) == ({}, ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pathh /srv\n", "pathh"),
        (
            "ssh root@dumps.example\ncore_collector makedumpfile -F -c\n",
            "a machine that guests do not reach",
        ),
        ("path /srv\npath /var\n", "path"),
    ],
)
def test_kdump_conf_that_cannot_be_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text(text)
    assert reason in str(refusal(kdump_conf=conf))


@pytest.mark.parametrize(
    "target",
    [
        "ext4 /dev/disk/by-id/virtio-dumps",
        "xfs LABEL=dumps",
        "btrfs UUID=1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "ext4 /dev/dumps/thin",
    ],
)
def test_guests_have_a_disk_that_becomes_what_kdump_conf_names(tmp_path: Path, target: str) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text(f"{target}\npath /a\n")
    plan = Plan.of(memory="1G", kdump_conf=conf)
    assert plan.topology is Topology.DISK_DUMP
    assert [disk.serial for disk in plan.spec(GIB, None).disks] == ["dumps"]
    assert plan.settings["KDUMP_COREDIR"] == "/mnt/kdump/a"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("ext4 /dev/sda1", "guests have no device /dev/sda1"),
        ("ext4 LABEL=$(reboot)", "'$(reboot)' is no label"),
        ("raw /dev/sdb", "guests have no device /dev/sdb"),
    ],
)
def test_disk_that_guests_cannot_have_is_refused(tmp_path: Path, target: str, reason: str) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text(f"{target}\n")
    assert refusal(kdump_conf=conf, stack_name="el").message.startswith(reason)


def test_guests_have_a_raw_disk_if_their_kdump_writes_to_one(tmp_path: Path) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text("raw /dev/disk/by-id/virtio-dumps\n")
    on_el, on_debian = (Plan.of(memory="1G", kdump_conf=conf, stack_name=name) for name in ("el", "debian"))
    assert [len(plan.spec(GIB, None).disks) for plan in (on_el, on_debian)] == [1, 0]
    assert [left.option for left in on_debian.untranslated] == ["raw"]


def test_kdump_conf_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(kdump_conf=tmp_path / "absent").message


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["SSH=root@dumps"], "root@dumps:/var/crash is a machine that guests do not reach"),
        (["NFS=dumps:/srv"], "root@dumps:/srv is a machine that guests do not reach"),
        (["SSH=dump-server"], "SSH=dump-server is not of the form USER@HOST"),
        (["SSH=-x@dump-server"], "'-x' is no user's name"),
        (["NFS=dump-server:/"], "NFS=dump-server:/ is not of the form HOST:/FOLDER"),
        (["FTP=dump-server"], "FTP=dump-server is not of the form HOST:/FOLDER"),
        (["FTP=dump-server:/srv"], "FTP=dump-server:/srv needs FTP_USER and FTP_PASSWORD"),
        (["SSH=root@dump-server", "NFS=dump-server:/srv"], "SSH and NFS: kdump-tools would save to each"),
        (["KDUMP_COREDIR=srv"], "KDUMP_COREDIR=srv is not a full path"),
    ],
)
def test_dump_target_that_nobody_could_look_at_is_refused(settings: list[str], reason: str) -> None:
    assert refusal(kdump_settings=settings).message.startswith(reason)


@pytest.mark.parametrize(
    ("text", "topology", "folder"),
    [
        ("path /srv\n", Topology.LOCAL_DUMP, None),
        ("ssh kdump@dump-server\npath /srv\ncore_collector makedumpfile -F -l\n", Topology.SSH_DUMP, "/srv"),
        ("nfs dump-server:/srv\npath dumps\n", Topology.NFS_DUMP, "/srv/dumps"),
    ],
)
def test_guests_have_a_link_to_the_dump_server_where_dumps_are_sent(
    tmp_path: Path, text: str, topology: Topology, folder: str | None
) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text(text)
    plan = Plan.of(memory="1G", kdump_conf=conf)
    remote = plan.remote
    assert plan.topology is topology
    assert (remote and remote.folder) == folder
    assert [link.name for link in plan.spec(GIB, None).links] == (["dumps"] if remote else [])


@pytest.mark.parametrize("image", ["debian-12", "debian-13"])
def test_the_stack_is_the_images_unless_another_is_named(image: str) -> None:
    assert Plan.of(image=image, memory="1G").stack is STACKS["debian"]
    assert Plan.of(image=image, memory="1G", stack_name="el").stack is STACKS["el"]
    assert Plan.of(image=image, memory="1G", stack_name="auto").stack is None


def test_an_unknown_stack_is_refused_by_name() -> None:
    assert "Input should be 'auto', 'debian', 'el' or 'suse'" in refusal(stack_name="hurd").facts["wrong"]


def test_a_configuration_needs_to_know_in_whose_words(tmp_path: Path) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text("path /srv\n")
    refused = refusal(stack_name="auto", kdump_conf=conf)
    assert "in whose words" in refused.message
    assert refused.facts["way out"] == "name it: --stack debian or el or suse"
    assert Plan.of(memory="1G", stack_name="el", kdump_conf=conf).settings["path"] == "/srv"


def test_el_takes_settings_in_the_words_of_kdump_conf() -> None:
    settings = ("core_collector=makedumpfile -z -d 17", "KEXEC_ARGS=-s")
    assert Plan.of(memory="1G", stack_name="el", kdump_settings=settings).kdump_settings == {
        "core_collector": "makedumpfile -z -d 17",
        "KEXEC_ARGS": "-s",
    }
    refused = refusal(stack_name="el", kdump_settings=("MAKEDUMP_ARGS=-c",))
    assert "MAKEDUMP_ARGS: no setting of kdump on el" in refused.message


def disk(path: Path) -> str:
    with path.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa")
        file.truncate(64 * MIB)
    return str(path)


def test_disk_of_the_users_has_whichever_kdump_it_has_unless_named(tmp_path: Path) -> None:
    image = disk(tmp_path / "their disk.raw")
    plan = Plan.of(memory="1G", image=image)
    assert (plan.stack, plan.spec(GIB, None).name) == (None, "their-disk-1G")
    named = Plan.of(memory="1G", image=image, stack_name="debian", kdump_settings=("MAKEDUMP_ARGS=-d 17",))
    assert named.stack is not None
    assert "--stack" not in named.shown()
    refused = refusal(image=image, kdump_settings=("MAKEDUMP_ARGS=-d 17",))
    assert "--stack" in refused.facts["reason"]


def test_disk_of_the_users_is_looked_at_before_anything(tmp_path: Path) -> None:
    (tmp_path / "page.qcow2").write_text("<html>404</html>")
    with pytest.raises(ImageError, match="is not a qcow2"):
        Plan.of(memory="1G", image=str(tmp_path / "page.qcow2"))


def test_what_its_boot_loader_decides_is_not_promised(tmp_path: Path) -> None:
    image = disk(tmp_path / "disk.raw")
    assert "cannot be set" in refusal(image=image, kernel_arguments=("quiet",)).message
    assert "starts with its kernel" in refusal(image="debian-12", firmware="uefi").message
    assert (
        Plan.of(memory="1G", image=image, firmware="secure-boot").spec(GIB, None).firmware == "secure-boot"
    )


def test_host_that_exists_is_one_machine_of_unknown_memory() -> None:
    plan = Plan.of(host="qa@db7.example.org:2222", allow_crash="db7", spare=("nginx",))
    assert plan.visit is not None
    assert (plan.visit.address.user, plan.visit.address.port) == ("qa", 2222)
    (spec,) = plan.crashes(64 * GIB)
    assert (spec.name, spec.exists, plan.booted(64 * GIB)) == ("db7.example.org", True, (spec.memory,))
    assert plan.shown()["console by"].startswith("none")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"host": "db7", "crashkernel": "512M"}, "the boot loader of an existing host is left as it is"),
        ({"host": "db7", "kernel_arguments": ("quiet",)}, "the boot loader of an existing host"),
        ({"host": "db7", "triggers": "all"}, "an existing host is crashed once"),
        ({"host": "db7", "kdump_settings": ("A=b",)}, "it is not known in whose words"),
        ({"host": "db7", "kdump_settings": ("SSH=a@b",), "stack_name": "debian"}, "on its own disk"),
        (
            {"host": "db7", "kdump_settings": ("MAKEDUMP_ARGS=-c",), "stack_name": "debian"},
            "db7 is only looked at without --allow-crash",
        ),
        ({"host": "db7", "image": "debian-13"}, "--image is about guests"),
        ({"host": "db7", "memory": "2G"}, "--memory is about guests"),
        ({"host": "db7", "accelerator": "kvm"}, "--accel is about guests"),
        ({"host": "db7", "vmlinux": Path("/not/there")}, "there is no vmlinux at /not/there"),
        ({"host": "a b"}, "is not of the form user@name:port"),
        ({"spare": ("nginx",)}, "--spare is about an existing host"),
        ({"patience": 2}, "--patience is about an existing host"),
        ({"nfs_version": 3}, "--nfs-version 3 would not be used"),
        ({"kernel_arguments": ("crashkernel=1G",)}, "crashkernel=1G would not be what is verified"),
        ({"allow_crash": "db7"}, "--allow-crash is about an existing host"),
        ({"console": "virsh console x"}, "--console is about an existing host"),
    ],
)
def test_what_cannot_be_asked_of_a_host_or_of_guests_is_refused(
    choices: dict[str, object], message: str
) -> None:
    assert message in refusal(**choices).message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("final_action poweroff", "db7 is not crashed with final_action poweroff"),
        ("failure_action shell", "db7 is not crashed with failure_action shell"),
        ("raw /dev/sdb", "db7 is not crashed with raw /dev/sdb"),
        ("auto_reset_crashkernel yes", "db7 is not crashed with auto_reset_crashkernel yes"),
        ("force_no_rebuild 1", "db7 is not crashed with force_no_rebuild 1"),
        ("xfs LABEL=crash", "dumps of an existing host are looked for on its own disk"),
    ],
)
def test_host_is_not_configured_to_stay_down_or_to_lose_anything(
    tmp_path: Path, line: str, message: str
) -> None:
    conf = tmp_path / "kdump.conf"
    conf.write_text(f"{line}\n")
    told = {"host": "db7", "allow_crash": "db7", "stack_name": "el", "kdump_conf": conf}
    assert message in refusal(**told).message
    conf.write_text("failure_action reboot\npath /srv/crash\n")
    assert Plan.of(**told).settings["path"] == "/srv/crash"


@pytest.mark.parametrize(
    ("stack", "setting"),
    [
        ("el", "raw=/dev/sdb"),
        ("el", "failure_action=poweroff"),
        ("el", "auto_reset_crashkernel=yes"),
        ("debian", "KDUMP_FAIL_CMD=poweroff -f"),
        ("suse", "KDUMP_IMMEDIATE_REBOOT=false"),
        ("suse", "KDUMP_CRASHKERNEL=crashkernel=1G"),
    ],
)
def test_kdumps_own_words_get_no_further_on_a_host(stack: str, setting: str) -> None:
    told = refusal(host="db7", allow_crash="db7", stack_name=stack, kdump_settings=(setting,))
    assert (
        told.message
        == f"db7 is not crashed with {setting.replace('=', ' ', 1) if stack == 'el' else setting}"
    )


def test_what_brings_a_host_back_is_let_through() -> None:
    for stack, setting in (("debian", "KDUMP_FAIL_CMD=reboot -f"), ("el", "failure_action=dump_to_rootfs")):
        assert Plan.of(host="db7", allow_crash="db7", stack_name=stack, kdump_settings=(setting,)).settings


def test_host_is_crashed_as_one_machine_whatever_cpus_a_trigger_takes() -> None:
    plan = Plan.of(host="db7", allow_crash="db7", triggers="sysrq-c-on-last-cpu")
    assert not plan.looks_only
    assert Plan.of(host="db7").looks_only
    assert not Plan.of(memory="1G").looks_only
    (memory,) = plan.booted(16 * GIB)
    assert plan.crashes(16 * GIB) == (plan.spec(memory, None),)
