"""The domain that libvirt is given: read back, it is the machine that the spec asked for."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.domain import Wiring, command_line, domain_xml, run_of
from kdump_tests.guest.file_channel import PORT_NAME
from kdump_tests.guest.image import Boot, BuiltImage
from kdump_tests.guest.spec import Disk, Firmware, GuestSpec, Link
from kdump_tests.sizes import GIB
from kdump_tests.unit.guest.described import built_image

TCG = Accelerator("tcg", "asked for", 1.0)
KVM = Accelerator("kvm", "it works", 0.25)
SPEC = GuestSpec("debian-12", GIB, "256M", vcpus=2, kernel_arguments=("quiet",))
LARGE = replace(SPEC, disks=(Disk("dump", GIB), Disk("spare", GIB)), links=(Link("nfs"), Link("other")))
HOSTILE = """a<b>&amp;"c"']]>--é"""
_ARGUMENTS = "{http://libvirt.org/schemas/domain/qemu/1.0}commandline/{*}arg"


def wiring(spec: GuestSpec, folder: str = "/runs/0123abcd/g1", guest: str = "kv-0123abcd-1") -> Wiring:
    return Wiring(
        run_id="0123abcd",
        guest=guest,
        root_disk=Path(folder, "root.qcow2"),
        disks=tuple(Path(folder, f"{disk.serial}.qcow2") for disk in spec.disks),
        firmware_variables=Path(folder, "firmware.fd"),
        seed=None,
        console=Path("/reports/console.log"),
        files=Path(folder, "files.sock"),
        credentials=(
            ("ssh.authorized_keys.root", Path(folder, "keys")),
            ("guest.ssh-host-key", Path(folder, "host")),
        ),
    )


def xml_of(spec: GuestSpec, accelerator: Accelerator = TCG, name: str = "kv-0123abcd-1-debian-12-1G") -> str:
    return domain_xml(spec, name, built_image(), accelerator, wiring(spec, guest=name))


def domain(spec: GuestSpec = SPEC, accelerator: Accelerator = TCG) -> ET.Element:
    return ET.fromstring(xml_of(spec, accelerator))  # noqa: S314 - we wrote it


def attributes(element: ET.Element, path: str, name: str) -> list[str | None]:
    return [found.get(name) for found in element.iterfind(path)]


def qemu_arguments(spec: GuestSpec, name: str = "kv-0123abcd-1") -> list[str]:
    read = ET.fromstring(xml_of(spec, name=name))  # noqa: S314
    return [found.get("value", "") for found in read.iterfind(_ARGUMENTS)]


@pytest.fixture
def libvirts_parser() -> Iterator[Any]:
    """Libvirt's driver for tests: it starts nothing, and checks a domain against libvirt's schema."""
    if not Path("/usr/share/libvirt/schemas/domain.rng").exists():
        pytest.skip("libvirt's schemas are not installed")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open("test:///default")
    yield lambda xml: connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    connection.close()


def test_guest_has_the_memory_and_cpus_of_its_spec() -> None:
    read = domain()
    assert (read.findtext("memory"), read.find("memory[@unit='b']") is not None) == (str(GIB), True)
    assert read.findtext("vcpu") == "2"


def test_kernel_is_booted_directly_with_its_command_line() -> None:
    system = domain().find("os")
    assert system is not None
    assert (system.findtext("kernel"), system.findtext("initrd")) == (
        "/cache/built/vmlinuz",
        "/cache/built/initrd",
    )
    assert system.findtext("cmdline") == command_line(SPEC, built_image())


@pytest.mark.parametrize(
    ("crashkernel", "last"),
    [("256M", "crashkernel=256M"), ("384M-:128M", "crashkernel=384M-:128M"), (None, "quiet")],
)
def test_command_line_is_the_images_then_the_users(crashkernel: str | None, last: str) -> None:
    words = command_line(replace(SPEC, crashkernel=crashkernel), built_image()).split()
    assert words[:3] == ["root=/dev/vda", "rw", "console=ttyS0"]
    assert words[-1] == last


def test_image_without_a_kernel_is_booted_by_firmware_off_its_disk() -> None:
    image = built_image()
    firmware = replace(image, image=image.image.model_copy(update={"boot": Boot()}))
    read = ET.fromstring(domain_xml(SPEC, "kv", firmware, TCG, wiring(SPEC)))  # noqa: S314
    assert read.find("os/kernel") is read.find("os/cmdline") is None
    assert attributes(read, "os/boot", "dev") == ["hd"]


def firmware_booted() -> BuiltImage:
    image = built_image()
    return replace(image, image=image.image.model_copy(update={"boot": Boot()}))


@pytest.mark.parametrize(
    ("firmware", "kind", "enabled", "smm"),
    [
        ("bios", None, [], False),
        ("uefi", "efi", ["no", "no"], False),
        ("secure-boot", "efi", ["yes", "yes"], True),
    ],
)
def test_firmware_is_the_one_asked_for(
    libvirts_parser: Any, firmware: Firmware, kind: str | None, enabled: list[str], smm: bool
) -> None:
    spec = replace(SPEC, firmware=firmware)
    seeded = replace(wiring(spec), seed=Path("/runs/0123abcd/g1/seed.iso"))
    xml = domain_xml(spec, "kv", firmware_booted(), TCG, seeded)
    read = ET.fromstring(xml)  # noqa: S314
    system = read.find("os")
    assert system is not None
    assert system.get("firmware") == kind
    assert attributes(read, "os/firmware/feature", "enabled") == enabled
    assert (read.find("features/smm") is not None) == smm
    assert read.findtext("os/nvram") == ("/runs/0123abcd/g1/firmware.fd" if kind else None)
    assert libvirts_parser(xml).XMLDesc()


def test_seed_is_a_disk_that_nobody_writes_to() -> None:
    seeded = replace(wiring(SPEC), seed=Path("/runs/0123abcd/g1/seed.iso"))
    read = ET.fromstring(domain_xml(SPEC, "kv", firmware_booted(), TCG, seeded))  # noqa: S314
    assert attributes(read, "devices/disk[readonly]/source", "file") == ["/runs/0123abcd/g1/seed.iso"]
    assert domain().find("devices/disk/readonly") is None


@pytest.mark.parametrize(
    ("accelerator", "kind", "mode", "left_out"),
    [(TCG, "qemu", "maximum", ["cx16", "erms", "fsrm"]), (KVM, "kvm", "host-passthrough", [])],
)
def test_cpu_is_the_best_that_the_accelerator_has(
    accelerator: Accelerator, kind: str, mode: str, left_out: list[str]
) -> None:
    read = domain(accelerator=accelerator)
    assert read.get("type") == kind
    assert attributes(read, "cpu", "mode") == [mode]
    assert attributes(read, "cpu/feature[@policy='disable']", "name") == left_out


def test_disks_are_in_the_order_of_the_spec_behind_the_root_disk() -> None:
    read = domain(LARGE)
    assert attributes(read, "devices/disk/target", "dev") == ["vda", "vdb", "vdc"]
    assert [found.findtext("serial") for found in read.iterfind("devices/disk")] == [None, "dump", "spare"]
    assert attributes(read, "devices/disk/source", "file")[1:] == [
        "/runs/0123abcd/g1/dump.qcow2",
        "/runs/0123abcd/g1/spare.qcow2",
    ]


def test_console_is_added_to_its_record_and_files_have_their_port() -> None:
    read = domain()
    assert attributes(read, "devices/serial/source", "path") == ["/reports/console.log"]
    assert attributes(read, "devices/serial/source", "append") == ["on"]
    assert attributes(read, "devices/channel/target", "name") == [PORT_NAME]


def test_credentials_are_handed_over_as_files() -> None:
    read = domain()
    assert attributes(read, "sysinfo[@type='fwcfg']/entry", "name") == [
        "opt/io.systemd.credentials/ssh.authorized_keys.root",
        "opt/io.systemd.credentials/guest.ssh-host-key",
    ]
    assert attributes(read, "sysinfo/entry", "file") == ["/runs/0123abcd/g1/keys", "/runs/0123abcd/g1/host"]


def test_panicked_guest_may_reboot_and_a_dead_one_stays_dead() -> None:
    read = domain()
    actions = [read.findtext(f"on_{event}") for event in ("reboot", "poweroff", "crash")]
    assert actions == ["restart", "destroy", "destroy"]


def test_guest_is_kept_from_everything_but_its_ssh_port() -> None:
    network = qemu_arguments(SPEC)[1]
    assert "restrict=on" in network.split(",")
    assert "hostfwd=tcp:127.0.0.1:0-:22" in network.split(",")


def test_links_stay_on_the_loopback() -> None:
    links = qemu_arguments(LARGE)[5::4]
    assert len(links) == 2
    assert all("localaddr=127.0.0.1" in link and "mcast=239." in link for link in links)


def test_guests_that_name_the_same_link_meet_and_others_do_not() -> None:
    one, other = qemu_arguments(LARGE, "kv-1"), qemu_arguments(LARGE, "kv-2")
    assert one[5] == other[5] != one[9]


def test_no_two_network_cards_are_the_same() -> None:
    devices = [argument for name in ("kv-1", "kv-2") for argument in qemu_arguments(LARGE, name)[7::4]]
    assert len({device.split("mac=")[1] for device in devices}) == 4


def test_a_saved_domain_goes_on_under_its_name_and_uuid_with_addresses_of_its_own() -> None:
    one, other = (
        ET.fromstring(  # noqa: S314
            domain_xml(LARGE, "kv-saved", built_image(), TCG, wiring(LARGE, guest=guest))
        )
        for guest in ("kv-1", "kv-2")
    )
    for element in ("name", "uuid"):
        assert one.findtext(element) == other.findtext(element)
    macs = [
        found.get("value", "").partition("mac=")[2]
        for xml in (one, other)
        for found in xml.iterfind(_ARGUMENTS)
    ]
    assert len({mac for mac in macs if mac}) == 4


def test_translations_are_bounded_where_there_are_any() -> None:
    assert attributes(domain(accelerator=TCG), "features/tcg/tb-cache", "unit") == ["MiB"]
    assert domain(accelerator=KVM).find("features/tcg") is None


@pytest.mark.parametrize("name", [HOSTILE, "plain"])
def test_names_are_escaped(name: str) -> None:
    spec = replace(SPEC, kernel_arguments=(name,), disks=(Disk(name.replace("/", ""), GIB),))
    read = ET.fromstring(xml_of(spec, name=name))  # noqa: S314
    assert read.findtext("name") == name
    assert name in (read.findtext("os/cmdline") or "")
    assert [found.findtext("serial") for found in read.iterfind("devices/disk")][1] == name


@pytest.mark.parametrize("accelerator", [TCG, KVM])
@pytest.mark.parametrize("spec", [SPEC, LARGE, replace(SPEC, kernel_arguments=(HOSTILE,))])
def test_libvirt_accepts_the_domain(libvirts_parser: Any, spec: GuestSpec, accelerator: Accelerator) -> None:
    accepted = libvirts_parser(xml_of(spec, accelerator))
    assert run_of(accepted.XMLDesc()) == "0123abcd"


def test_libvirt_would_not_accept_anything(libvirts_parser: Any) -> None:
    with pytest.raises(libvirt.libvirtError):
        libvirts_parser(xml_of(SPEC).replace('bus="virtio"', 'bus="banana"'))


@pytest.mark.parametrize(
    "xml",
    [
        "<domain><name>theirs</name></domain>",
        "<domain><metadata/></domain>",
        '<domain><metadata><run id="0123abcd"/></metadata></domain>',
        '<domain><metadata><run xmlns="https://theirs.example" id="0123abcd"/></metadata></domain>',
    ],
)
def test_domain_of_others_belongs_to_no_run(xml: str) -> None:
    assert run_of(xml) is None


def test_own_domain_names_its_run() -> None:
    assert run_of(xml_of(SPEC)) == "0123abcd"


def test_image_can_be_any(tmp_path: Path) -> None:
    image = replace(built_image("debian-sid"), folder=tmp_path)
    assert isinstance(image, BuiltImage)
    assert str(tmp_path / "vmlinuz") in domain_xml(SPEC, "kv", image, TCG, wiring(SPEC))
