"""A guest's spec as libvirt's domain XML, built as a tree."""

import hashlib
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.crashkernel.emulation import TCG_WITHOUT
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.file_channel import PORT_NAME
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.spec import GuestSpec, Link

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_OURS = "https://kdump-verify.invalid/run"
ET.register_namespace("qemu", _QEMU)
ET.register_namespace("kdump-verify", _OURS)

_MACHINES = {"x86_64": "q35"}
# MiB of translated code that TCG keeps; full, all of it is dropped. Its default, 1 GiB, is never full, and
# every write to a page that once held code searches what was translated of it, byte after byte (QEMU 7.2,
# page_collection_lock()). A kernel that is unpacked where another one ran, as at each reboot, then takes
# 23 s; with this much 2 s, and a boot three quarters of its time.
_TRANSLATIONS = 128
# Slots of pcie.0 for devices that libvirt does not know of; it fills its own from 1 up.
_FIRST_SLOT = 0x10


@dataclass(frozen=True)
class Wiring:
    """Where a guest's ends are tied to this host: in the run's folder, but for the record."""

    run_id: str
    guest: str  # this guest's own name, which a domain that was saved before may not bear
    root_disk: Path
    disks: tuple[Path, ...]
    firmware_variables: Path
    seed: Path | None  # for cloud-init
    console: Path
    files: Path
    credentials: tuple[tuple[str, Path], ...]  # systemd credentials, name and file


def mac_address(guest: str, link: Link) -> str:
    """The address of a guest on a private link: another one for every guest, locally administered."""
    return "52:54:00:" + hashlib.sha256(f"{guest}/{link.name}".encode()).digest()[:3].hex(":")


def pci_address(spec: GuestSpec, link: Link) -> str:
    """Where the guest finds the device of a private link, below /sys/bus/pci/devices."""
    return f"0000:00:{_FIRST_SLOT + 1 + spec.links.index(link):02x}.0"


def domain_xml(
    spec: GuestSpec, name: str, image: BuiltImage, accelerator: Accelerator, wiring: Wiring
) -> str:
    """The XML of a transient domain."""
    domain = ET.Element("domain", type="kvm" if accelerator.name == "kvm" else "qemu")
    _add(domain, "name", name)
    # Of the name, as a saved state goes on only under the name and the uuid it was saved with.
    _add(domain, "uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"{_OURS}/{name}")))
    # How a later run, or `reap`, knows whose guest this is.
    _add(_add(domain, "metadata"), f"{{{_OURS}}}run", id=wiring.run_id)
    _add(domain, "memory", str(spec.memory), unit="b")
    _add(domain, "vcpu", str(spec.vcpus))
    _add_boot(domain, spec, image, wiring)
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if spec.firmware == "secure-boot":
        _add(features, "smm", state="on")
    if accelerator.name == "tcg":
        _add(_add(features, "tcg"), "tb-cache", str(_TRANSLATIONS), unit="MiB")
    _add_cpu(domain, accelerator)
    _add(domain, "clock", offset="utc")
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    _add_devices(domain, spec, wiring)
    firmware_config = _add(domain, "sysinfo", type="fwcfg")
    for credential, file in wiring.credentials:
        _add(firmware_config, "entry", name=f"opt/io.systemd.credentials/{credential}", file=str(file))
    _add_network(domain, spec, wiring)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def run_of(xml: str) -> str | None:
    """The id of the run that a domain belongs to, None for somebody else's domain."""
    found = ET.fromstring(xml).find(f"metadata/{{{_OURS}}}run")  # noqa: S314 - libvirt wrote it
    return None if found is None else found.get("id")


def command_line(spec: GuestSpec, image: BuiltImage) -> str:
    """The kernel command line of a directly booted guest."""
    boot = image.image.boot
    words = [f"root={boot.root}", *boot.arguments, *spec.kernel_arguments]
    if spec.crashkernel is not None:
        words.append(f"crashkernel={spec.crashkernel}")
    return " ".join(words)


def _add_boot(domain: ET.Element, spec: GuestSpec, image: BuiltImage, wiring: Wiring) -> None:
    uefi = image.image.boots_by_firmware and spec.firmware != "bios"
    system = _add(domain, "os", **({"firmware": "efi"} if uefi else {}))
    architecture = image.image.architecture
    _add(system, "type", "hvm", arch=architecture, machine=_MACHINES[architecture])
    if uefi:
        # libvirt picks a build by its description (QEMU's docs/interop/firmware.json).
        enabled = "yes" if spec.firmware == "secure-boot" else "no"
        features = _add(system, "firmware")
        for feature in ("secure-boot", "enrolled-keys"):
            _add(features, "feature", name=feature, enabled=enabled)
        _add(system, "nvram", str(wiring.firmware_variables))
    if image.image.boots_by_firmware:
        _add(system, "boot", dev="hd")
        return
    _add(system, "kernel", str(image.kernel))
    if image.initrd:
        _add(system, "initrd", str(image.initrd))
    _add(system, "cmdline", command_line(spec, image))


def _add_cpu(domain: ET.Element, accelerator: Accelerator) -> None:
    if accelerator.name == "kvm":
        _add(domain, "cpu", mode="host-passthrough")
        return
    cpu = _add(domain, "cpu", mode="maximum")
    for name in TCG_WITHOUT:
        _add(cpu, "feature", policy="disable", name=name)


def _add_devices(domain: ET.Element, spec: GuestSpec, wiring: Wiring) -> None:
    devices = _add(domain, "devices")
    _add_disk(devices, "vda", wiring.root_disk, None)
    for number, (disk, path) in enumerate(zip(spec.disks, wiring.disks, strict=True)):
        _add_disk(devices, f"vd{'bcdefghijklmnopqrstuvwxy'[number]}", path, disk.serial)
    if wiring.seed:
        _add_seed(devices, wiring.seed)
    serial = _add(devices, "serial", type="file")
    _add(serial, "source", path=str(wiring.console), append="on")
    _add(serial, "target", port="0")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "source", mode="connect", path=str(wiring.files))
    _add(channel, "target", type="virtio", name=PORT_NAME)
    _add(devices, "controller", type="usb", model="none")
    _add(devices, "memballoon", model="none")


def _add_disk(devices: ET.Element, target: str, path: Path, serial: str | None) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    # unsafe: a flush need not reach the host's disk, as no overlay outlives its run.
    _add(disk, "driver", name="qemu", type="qcow2", cache="unsafe", discard="unmap")
    _add(disk, "source", file=str(path))
    _add(disk, "target", dev=target, bus="virtio")
    if serial:
        _add(disk, "serial", serial)


def _add_seed(devices: ET.Element, path: Path) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="raw")
    _add(disk, "source", file=str(path))
    _add(disk, "target", dev="vdz", bus="virtio")
    _add(disk, "readonly")


def _add_network(domain: ET.Element, spec: GuestSpec, wiring: Wiring) -> None:
    """SSH forwarded from a port of 127.0.0.1 that QEMU picks, and the spec's private links.

    libvirt 9's own XML for a forwarded port needs passt, which few hosts have, and its multicast segments
    cannot be kept to loopback. ``restrict`` keeps the guest from everything else: it is hostile, and
    10.0.2.2 would be this host's loopback.
    """
    line = _add(domain, f"{{{_QEMU}}}commandline")
    arguments = [
        "-netdev", "user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", f"virtio-net-pci,netdev=ssh,bus=pcie.0,addr={_FIRST_SLOT:#x},romfile=",
    ]  # fmt: skip
    for number, link in enumerate(spec.links, 1):
        # One group per run and link, administratively scoped (RFC 2365), on loopback alone.
        group = hashlib.sha256(f"{wiring.run_id}/{link.name}".encode()).digest()
        address = f"239.{group[0]}.{group[1]}.{group[2]}:{20000 + int.from_bytes(group[3:5], 'big') % 20000}"
        mac = mac_address(wiring.guest, link)
        arguments += [
            "-netdev", f"socket,id=link{number},mcast={address},localaddr=127.0.0.1",
            "-device", f"virtio-net-pci,netdev=link{number},bus=pcie.0,addr={_FIRST_SLOT + number:#x},"
                       f"mac={mac},romfile=",
        ]  # fmt: skip
    for argument in arguments:
        _add(line, f"{{{_QEMU}}}arg", value=argument)


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element
