"""A host that exists, as the suite's own guests are described."""

import pytest

from kdump_tests.guest.spec import SMALLEST_MEMORY, GuestSpec
from kdump_tests.stacks import STACKS, visit


@pytest.mark.parametrize("stack", STACKS)
def test_host_is_described_as_an_image_that_boots_by_itself(stack: str) -> None:
    spec = GuestSpec("db7.example.org", SMALLEST_MEMORY, None, exists=True)
    image = visit._described(spec, stack)
    assert (image.name, image.stack, image.boots_by_firmware) == ("db7.example.org", stack, True)
