"""Everything that can go wrong, in one tree.

::

    KdumpVerifyError
    ├── LabError                the laboratory's fault: the product under test was not judged
    │   ├── BadInput            what the user gave cannot be used
    │   ├── ToolMissing         a program or library of the host is absent or too old
    │   ├── HypervisorError     libvirt or QEMU refused, vanished or did not answer
    │   ├── ImageError          an image cannot be described, built or read
    │   ├── CannotWrite         a file of the host's cannot be written
    │   │   └── NoSpace         the host's disk is full
    │   ├── GuestNotReached     a guest did not boot, or SSH never came up
    │   │   └── HostKeyChanged  somebody else answers in its place
    │   ├── GuestLost           a guest that was there is gone, or panicked unasked
    │   └── DeadlineExpired     something of the laboratory's did not end in time
    └── KdumpFailure            the product's fault: kdump does not do what it must
        ├── NotArmed            no capture kernel is loaded, so a panic would leave nothing
        ├── CaptureFailed       the panic happened, the dump was not saved
        └── BadDump             something was saved, and it is not a usable dump of this crash
"""

from collections.abc import Mapping
from typing import ClassVar


class KdumpVerifyError(Exception):
    """What happened, in one sentence, and what a person needs next.

    ``facts`` are shown one per line under the message, in order: the phase reached, the decisive
    line, the way out, the paths of the logs.
    """

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, str] = {
            name.replace("_", " "): str(value) for name, value in facts.items() if value not in (None, "")
        }

    def __str__(self) -> str:
        width = max((len(name) for name in self.facts), default=0)
        indent = "\n" + " " * (width + 5)
        lines = [
            f"  {name:<{width}}   {indent.join(value.splitlines())}" for name, value in self.facts.items()
        ]
        return "\n".join([self.message, *lines])


class LabError(KdumpVerifyError):
    """The laboratory broke; nothing is known about the product. Exit codes follow sysexits.h."""

    exit_code: ClassVar[int] = 70  # EX_SOFTWARE


class BadInput(LabError):
    """What the user gave cannot be used."""

    exit_code = 64  # EX_USAGE


class ToolMissing(LabError):
    """A program or library of the host is absent or too old."""

    exit_code = 69  # EX_UNAVAILABLE


class HypervisorError(LabError):
    """Libvirt or QEMU refused, vanished or did not answer."""

    exit_code = 69  # EX_UNAVAILABLE


class ImageError(LabError):
    """An image cannot be described, built or read."""

    exit_code = 66  # EX_NOINPUT


class CannotWrite(LabError):
    """A file of the host's cannot be written."""

    exit_code = 73  # EX_CANTCREAT


class NoSpace(CannotWrite):
    """The host's disk is full."""


class GuestNotReached(LabError):
    """A guest did not boot, or SSH never came up."""

    exit_code = 75  # EX_TEMPFAIL


class HostKeyChanged(GuestNotReached):
    """Somebody else answers in the guest's place: its host key is not the one that is known."""


class GuestLost(LabError):
    """A guest that was there is gone, or panicked without being asked to."""

    exit_code = 75  # EX_TEMPFAIL


class DeadlineExpired(LabError):
    """Something of the laboratory's did not end in time."""

    exit_code = 75  # EX_TEMPFAIL


class KdumpFailure(KdumpVerifyError):
    """The product under test is broken: kdump does not do what it must."""


class NotArmed(KdumpFailure):
    """No capture kernel is loaded, so a panic would leave nothing."""


class CaptureFailed(KdumpFailure):
    """The panic happened, the dump was not saved."""


class BadDump(KdumpFailure):
    """Something was saved, and it is not a usable dump of this crash."""
