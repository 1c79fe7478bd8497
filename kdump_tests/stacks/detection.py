"""Which kdump a machine has, by what is installed on it: the name of its distribution says little."""

from collections.abc import Mapping, Sequence

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput
from kdump_tests.guest.shell import Shell
from kdump_tests.stacks.stack import Stack

# In /usr/sbin everywhere but in Fedora from 42 on, and root's PATH has both.
_WHICH = 'for tool; do command -v "$tool" > /dev/null && echo "$tool"; done; :'


def has(shell: Shell, programs: Sequence[str], until: Deadline) -> tuple[str, ...]:
    """Those of the programs that are there."""
    return tuple(shell.run("sh", "-c", _WHICH, "which", *programs, until=until).split())


def installed(shell: Shell, stacks: Mapping[str, Stack], until: Deadline) -> tuple[str, ...]:
    """The names of the stacks whose tool is there."""
    tools = {stack.tool: name for name, stack in stacks.items()}
    found = has(shell, tuple(tools), until)
    return tuple(name for tool, name in tools.items() if tool in found)


def detect(shell: Shell, stacks: Mapping[str, Stack], until: Deadline) -> Stack:
    """The one stack that is installed.

    Raises:
        BadInput: it is none of them, or more than one.
    """
    names = installed(shell, stacks, until)
    known = ", ".join(f"{stack.tool} ({name})" for name, stack in stacks.items())
    if not names:
        raise BadInput(
            "this machine has no kdump that is known",
            looked_for=known,
            way_out="install it, or name the one to install: --stack el",
        )
    if len(names) > 1:
        raise BadInput(
            f"this machine has more than one kdump: {', '.join(names)}",
            looked_for=known,
            way_out="remove one: each loads a capture kernel of its own over the other's",
        )
    return stacks[names[0]]


def require(shell: Shell, stack: Stack, stacks: Mapping[str, Stack], until: Deadline) -> None:
    """Nothing, when it is this stack that a machine has; it is installed if there is none.

    Raises:
        BadInput: it is another one.
        LabError: it cannot be installed.
    """
    names = installed(shell, stacks, until)
    if not names:
        stack.install(shell, until)
        names = installed(shell, stacks, until)
    if names != (stack.name,):
        raise BadInput(
            f"kdump of this machine is not {stack.name}",
            found=", ".join(names) or "none that is known",
            way_out=f"--stack {names[0]}" if len(names) == 1 else "",
        )
