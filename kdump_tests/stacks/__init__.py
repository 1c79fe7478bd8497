"""kdump implementations, one module each."""

from kdump_tests.stacks.debian import Debian
from kdump_tests.stacks.el import El
from kdump_tests.stacks.stack import Stack
from kdump_tests.stacks.suse import Suse

STACKS: dict[str, Stack] = {stack.name: stack for stack in (Debian(), El(), Suse())}
