"""VMCOREINFO is whole lines of text, or it is damaged."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.unit.vmcore.dumps import RELEASE, VMCOREINFO
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.vmcoreinfo import Vmcoreinfo


def test_it_is_a_mapping_of_its_lines() -> None:
    found = Vmcoreinfo.parse(VMCOREINFO)
    assert found["OSRELEASE"] == RELEASE
    assert found.symbol("swapper_pg_dir") == 0xFFFFFFFF81000000
    assert len(found) == VMCOREINFO.count(b"\n")


def test_sizes_and_offsets_are_decimal() -> None:
    found = Vmcoreinfo({"SIZE(prb_desc)": "24", "OFFSET(prb_desc.state_var)": "10"})
    assert (found.struct_size("prb_desc"), found.offset("prb_desc.state_var")) == (24, 10)


@given(st.integers(1, len(VMCOREINFO) - 1))
def test_zeros_in_it_are_damage(at: int) -> None:
    with pytest.raises(Flaw, match="damaged"):
        Vmcoreinfo.parse(VMCOREINFO[:at] + b"\0" + VMCOREINFO[at + 1 :])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"OSRELEASE=6.1\nPAGESIZE=4096",
        b"OSRELEASE=6.1\n",
        b"PAGESIZE=4096\n",
        b"OSRELEASE=\nPAGESIZE=4096\n",
        b"x\n",
    ],
)
def test_what_no_kernel_writes_is_damage(raw: bytes) -> None:
    with pytest.raises(Flaw, match="damaged"):
        Vmcoreinfo.parse(raw)


@given(st.binary(max_size=200))
def test_noise_is_a_mapping_or_damage(noise: bytes) -> None:
    with suppress(Flaw):
        assert Vmcoreinfo.parse(noise)["OSRELEASE"]
