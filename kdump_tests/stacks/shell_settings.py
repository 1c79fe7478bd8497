"""A configuration file that a shell sources: /etc/default/kdump-tools and /etc/sysconfig/kdump."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Shell

# What a shell that reads the file takes for the value of each name, NUL after each.
_TELL = r""". "$0"; for name; do eval "printf '%s\\0' \"\$$name\""; done"""
_APPEND = 'printf "%s\\n" "$@" >> "$0"'


@dataclass(frozen=True)
class ShellSettings:
    """Lines of NAME=VALUE, of which the last counts."""

    path: str

    def told(self, shell: Shell, names: Iterable[str], until: Deadline) -> dict[str, str]:
        """As the shell reads the file; empty where it says nothing.

        Raises:
            LabError: the file cannot be read.
        """
        asked = tuple(names)
        values = shell.run("sh", "-c", _TELL, self.path, *asked, until=until).split("\0")
        if len(values) != len(asked) + 1:
            raise LabError("the guest tells its settings in an unknown form", said="\0".join(values)[:500])
        return dict(zip(asked, values, strict=False))

    def append(self, shell: Shell, values: Mapping[str, str], until: Deadline) -> None:
        """Say them at the end of the file, if there are any."""
        if values:
            shell.run("sh", "-c", _APPEND, self.path, *lines(values), until=until)


def lines(values: Mapping[str, str]) -> list[str]:
    """As they stand in the file."""
    return [f"{name}={shlex.quote(value)}" for name, value in values.items()]
