"""A module for a kernel that is known by one of its modules alone. gcc is here wherever this suite is."""

import gzip
import lzma
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from kdump_tests.crash.fault_module.build import build
from kdump_tests.crash.fault_module.donor import Donor, read_donor
from kdump_tests.crash.pull import Fault
from kdump_tests.crash.trigger import Trigger
from kdump_tests.errors import LabError

# Of Debian 13's 6.12.118 and its virtio_blk.
DONOR = Donor("6.12.118+deb13-cloud-amd64 SMP preempt mod_unload modversions ", 0x2F9B207A, 1280, 24, 312)
ADDRESSES = {
    name: 0xFFFFFFFF81000000 + place
    for place, name in enumerate(("_raw_spin_lock", "refcount_warn_saturate", "usercopy_abort"))
}
FAULTS = sorted({pull.name for each in Trigger if isinstance(pull := each.value.pull, Fault)})


@pytest.fixture(scope="module")
def module() -> bytes:
    return build(DONOR, "spin", ADDRESSES)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_built_has_the_shape_of_the_kernels_own_modules(fault: str) -> None:
    assert read_donor(build(DONOR, fault, ADDRESSES)) == DONOR


def test_a_kernel_without_module_versions_is_given_none() -> None:
    donor = replace(DONOR, layout_version=0)
    module = build(donor, "spin", ADDRESSES)
    assert b"__versions" not in module
    assert read_donor(module) == donor


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_module_is_unpacked(module: bytes, pack: Callable[[bytes], bytes]) -> None:
    assert read_donor(pack(module)) == DONOR


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\xfd7zXZ\0junk", b"\x1f\x8bjunk", b"text", bytes(9999)]
)
def test_what_is_no_module_is_refused(content: bytes) -> None:
    with pytest.raises(LabError, match="cannot be read as one"):
        read_donor(content)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_module_cut_short_is_refused(module: bytes, kept: float) -> None:
    with pytest.raises(LabError, match="cannot be read as one"):
        read_donor(module[: int(len(module) * kept)])


@pytest.mark.parametrize("size", ["<H", "<I", "<Q"])
@pytest.mark.parametrize("place", range(57))
def test_a_header_that_lies_costs_nothing(module: bytes, place: int, size: str) -> None:
    lying = bytearray(module)
    struct.pack_into(size, lying, place, 0xFF << 8 * (struct.calcsize(size) - 1))
    try:
        donor = read_donor(bytes(lying))
    except LabError:
        return
    assert donor == DONOR


def test_a_kernel_that_hides_its_addresses_is_told(module: bytes) -> None:
    with pytest.raises(LabError, match="where usercopy_abort is"):
        build(DONOR, "spin", {**ADDRESSES, "usercopy_abort": 0})


@pytest.mark.parametrize("vermagic", ['6.1" -DX="', "6.1\\", "", "6" * 300])
def test_a_version_that_is_none_never_reaches_the_compiler(vermagic: str) -> None:
    with pytest.raises(LabError, match="unknown kind of version"):
        build(replace(DONOR, vermagic=vermagic), "spin", ADDRESSES)
