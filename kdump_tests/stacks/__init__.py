"""kdump implementations, one module each."""

from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.stack import Stack

STACKS: dict[str, Stack] = {stack.name: stack for stack in (Debian(),)}
