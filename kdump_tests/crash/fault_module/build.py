"""The module of one fault for the kernel of one guest: compiled here, handed over, not loaded yet."""

import base64
import binascii
import re
import tempfile
from pathlib import Path

from kdump_tests.crash.fault_module.donor import Donor, read_donor
from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.guest.machine import Guest
from kdump_tests.subprocesses import run

_SOURCE = Path(__file__).with_name("fault.c")
# As the kernel's own Makefiles for x86_64 have it: no SSE, no red zone, an address space of its own; and
# endbr64, as init is called through a pointer. No unwind tables: the kernel has none of ours.
_FLAGS = (
    "-c", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic",
    "-mcmodel=kernel", "-mno-red-zone", "-mno-sse", "-mno-mmx", "-mno-80387", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables", "-fcf-protection=branch",
)  # fmt: skip
_FUNCTIONS = ("_raw_spin_lock", "refcount_warn_saturate", "usercopy_abort")
_VERMAGIC = re.compile(r"[\w .+~-]{1,200}")
_BUILD_SECONDS = 60.0

# The first module in /proc/modules: it came with this kernel, and this kernel took it.
_DONOR = 'read -r name rest < /proc/modules; base64 --wrap=0 -- "$(modinfo --field=filename "$name")"'
_ADDRESSES = f'grep --extended-regexp " [tT] ({"|".join(_FUNCTIONS)})$" /proc/kallsyms'
_ADDRESS = re.compile(rf"^([0-9a-f]{{16}}) [tT] ({'|'.join(_FUNCTIONS)})$", re.MULTILINE)
_HAND_OVER = 'echo "$1" | base64 --decode > "$0"'


def hand_over(guest: Guest, fault: str, path: str) -> None:
    """Put the module whose init is ``fault`` (a function of fault.c) under ``path`` in the guest.

    Raises:
        LabError: the guest's kernel does not tell what it takes, or the module cannot be built.
        ToolMissing: no compiler is here.
    """
    until = guest.command_deadline()
    try:
        donor = read_donor(base64.b64decode(guest.shell.run("sh", "-e", "-c", _DONOR, until=until)))
    except binascii.Error as error:
        raise LabError(f"{guest.name} sends no module", reason=error) from None
    told = _ADDRESS.findall(guest.shell.run("sh", "-c", _ADDRESSES, until=until))
    module = build(donor, fault, {name: int(address, 16) for address, name in told})
    encoded = base64.b64encode(module).decode()
    guest.shell.run("sh", "-e", "-c", _HAND_OVER, path, encoded, until=guest.command_deadline())


def build(donor: Donor, fault: str, addresses: dict[str, int]) -> bytes:
    """The module's file. ``addresses`` are those of the kernel's functions that fault.c calls.

    Raises:
        LabError: what the kernel told makes no sense, or the compiler refused.
        ToolMissing: there is no compiler.
    """
    if missing := [name for name in _FUNCTIONS if not addresses.get(name)]:
        raise LabError(
            f"the guest's kernel does not tell where {', '.join(missing)} is",
            reason="/proc/kallsyms has no such function, or hides addresses even from root",
        )
    if not _VERMAGIC.fullmatch(donor.vermagic):
        raise LabError("the guest's kernel has an unknown kind of version", got=donor.vermagic[:200])
    defined = {
        "FAULT": fault,
        "VERMAGIC": f'"{donor.vermagic}"',
        "LAYOUT_VERSION": f"{donor.layout_version:#x}",
        "MODULE_SIZE": donor.module_size,
        "MODULE_NAME": donor.name_offset,
        "MODULE_INIT": donor.init_offset,
        **{f"ADDRESS_{name}": f"{addresses[name]:#x}" for name in _FUNCTIONS},
    }
    with tempfile.TemporaryDirectory(prefix="kdump-verify-") as folder:
        goal = Path(folder) / "fault.ko"
        words = [f"-D{name}={value}" for name, value in defined.items()]
        run(
            ["gcc", *_FLAGS, *words, "-o", goal, _SOURCE],
            Deadline.after(_BUILD_SECONDS, "a module is built"),
        )
        return goal.read_bytes()
