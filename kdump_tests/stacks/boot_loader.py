"""crashkernel= where the boot loader keeps it: for every kernel of the machine, from its next boot on.

A value may be several words, as in ``512M,high crashkernel=72M,low``.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Protocol

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.shell import Shell

_DEFAULTS = "/etc/default/grub"
_LINUX_DEFAULT = "GRUB_CMDLINE_LINUX_DEFAULT"
_WORD = re.compile(r"(?<![^\s\"'])crashkernel=[^\s\"']*[ \t]*")


class BootLoader(Protocol):
    """Whoever hands the kernel its command line."""

    def reserve(self, shell: Shell, crashkernel: str | None, until: Deadline) -> None:
        """Set it, or with None take it out.

        Raises:
            LabError: the boot loader's tool failed; carries its words.
        """

    def reserved(self, shell: Shell, until: Deadline) -> str | None:
        """What the default entry is given now; None where it is given none."""


@dataclass(frozen=True)
class Grubby:
    """`grubby`, of RHEL 7 to 10 and Fedora: it writes the entries themselves, BLS or grub.cfg."""

    def reserve(self, shell: Shell, crashkernel: str | None, until: Deadline) -> None:
        """All kernels, as kdumpctl's reset-crashkernel does with --kernel=ALL."""
        # Out first: of several words of one name, grubby would replace the last and leave the others.
        shell.run("grubby", "--update-kernel=ALL", "--remove-args=crashkernel", until=until)
        if crashkernel is not None:
            words = f"--args=crashkernel={crashkernel}"
            shell.run("grubby", "--update-kernel=ALL", words, until=until)

    def reserved(self, shell: Shell, until: Deadline) -> str | None:
        """By the entry that boots next; its args are one line."""
        told = shell.run("grubby", "--info=DEFAULT", until=until)
        args = next((line for line in told.splitlines() if line.startswith("args=")), "")
        return value_in(args.removeprefix("args=").strip('"'))


@dataclass(frozen=True)
class GrubDefaults:
    """A variable of /etc/default/grub, and what makes the boot loader's configuration of it."""

    variable: str
    update: tuple[str, ...]  # a command

    def reserve(self, shell: Shell, crashkernel: str | None, until: Deadline) -> None:
        """Replace the words of that name in the variable, then `update`."""
        text = shell.run("cat", _DEFAULTS, until=until)
        new = with_crashkernel(text, self.variable, crashkernel)
        shell.run("sh", "-c", 'printf %s "$1" > "$0"', _DEFAULTS, new, until=until)
        shell.run(*self.update, until=until)

    def reserved(self, shell: Shell, until: Deadline) -> str | None:
        """By the file; whether it came into the boot loader's own is read back after a boot."""
        script = f'. "$0"; printf %s "${self.variable}"'
        return value_in(shell.run("sh", "-c", script, _DEFAULTS, until=until))


# The kernel takes the last crashkernel= (parse_crashkernel() in kernel/crash_core.c), and update-grub reads
# the snippets after /etc/default/grub: one that stays anywhere may be the one that counts.
_TAKE_OUT = 'for file in "$0" "$0".d/*.cfg; do if [ -f "$file" ]; then sed -i "$1" "$file"; fi; done'
_ANY = r"""s/ *crashkernel=[^" ']*//g"""


@dataclass(frozen=True)
class GrubSnippet:
    """A file of /etc/default/grub.d, which Debian's kdump-tools brings, and update-grub."""

    path: str

    def reserve(self, shell: Shell, crashkernel: str | None, until: Deadline) -> None:
        """Nothing else stands in the file, without a value nothing does; and in no other file is another."""
        words = shlex.quote(f" crashkernel={crashkernel}")
        line = "" if crashkernel is None else f'{_LINUX_DEFAULT}="${_LINUX_DEFAULT}"{words}\n'
        shell.run("sh", "-c", _TAKE_OUT, _DEFAULTS, _ANY, until=until)
        shell.run("sh", "-c", 'printf %s "$1" > "$0"', self.path, line, until=until)
        shell.run("update-grub", until=until)

    def reserved(self, shell: Shell, until: Deadline) -> str | None:
        """By the file, as update-grub sources it."""
        script = f'. "$0"; printf %s "${_LINUX_DEFAULT}"'
        return value_in(shell.run("sh", "-c", script, self.path, until=until))


def value_in(command_line: str) -> str | None:
    """The value that a kernel command line gives, all words of that name together."""
    values = [word for word in command_line.split() if word.startswith("crashkernel=")]
    return " ".join(values).removeprefix("crashkernel=") if values else None


def with_crashkernel(text: str, variable: str, crashkernel: str | None) -> str:
    """/etc/default/grub with another crashkernel= in its last line that sets ``variable``.

    Raises:
        LabError: that line is none of a quoted value on one line.
    """
    lines = text.splitlines()
    where = [number for number, line in enumerate(lines) if line.startswith(f"{variable}=")]
    if not where:
        lines.append(f'{variable}=""')
        where = [len(lines) - 1]
    line = lines[where[-1]]
    found = re.fullmatch(rf"{variable}=(?P<quote>[\"']?)(?P<value>[^\"']*)(?P=quote)\s*(#.*)?", line)
    if found is None:
        raise LabError(f"{_DEFAULTS} sets {variable} in a way that is not understood", it_reads=line)
    others = _WORD.sub("", found["value"]).strip()
    words = [others, *([] if crashkernel is None else [f"crashkernel={crashkernel}"])]
    lines[where[-1]] = f"{variable}={shlex.quote(' '.join(filter(None, words)))}"
    return "\n".join([*lines, ""])
