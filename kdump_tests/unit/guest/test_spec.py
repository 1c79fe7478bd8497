"""A spec is a machine that can be."""

import pytest

from kdump_tests.errors import BadInput
from kdump_tests.guest.spec import GuestSpec
from kdump_tests.sizes import GIB, MIB


@pytest.mark.parametrize(
    ("memory", "name"),
    [(GIB, "debian-12-1G"), (1536 * MIB, "debian-12-1536M"), (256 * MIB, "debian-12-256M")],
)
def test_guest_is_named_after_image_and_memory(memory: int, name: str) -> None:
    assert GuestSpec("debian-12", memory, None).name == name


@pytest.mark.parametrize("memory", [0, -GIB, 255 * MIB, GIB + 1])
def test_memory_that_no_machine_has_is_refused(memory: int) -> None:
    with pytest.raises(BadInput, match="a guest cannot have"):
        GuestSpec("debian-12", memory, None)


@pytest.mark.parametrize("vcpus", [0, -1])
def test_machine_without_a_cpu_is_refused(vcpus: int) -> None:
    with pytest.raises(BadInput, match="CPUs"):
        GuestSpec("debian-12", GIB, None, vcpus=vcpus)


def test_equal_specs_are_one() -> None:
    assert {GuestSpec("debian-12", GIB, "256M"), GuestSpec("debian-12", GIB, "256M")} == {
        GuestSpec("debian-12", GIB, "256M")
    }
