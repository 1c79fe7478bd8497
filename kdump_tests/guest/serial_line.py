"""Typing on a guest's serial console: what a person at its terminal can do, without a shell."""

import os
import tempfile
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.guest.hypervisor import Domain

# libvirt's name of the first serial port's character device in QEMU.
_DEVICE = "charserial0"


def type_after_break(domain: Domain, record: Path, keys: str, until: Deadline) -> None:
    """Send a BREAK and then ``keys`` down the serial line whose output goes on to ``record``.

    A console that is recorded in a file has nobody who types, so its device is changed for one that also
    reads a pipe.

    Raises:
        HypervisorError: QEMU refused.
    """
    with tempfile.TemporaryDirectory(prefix="kdump-verify-") as folder:
        pipe = Path(folder) / "keys"
        os.mkfifo(pipe, mode=0o600)
        # Opened for reading too: QEMU would wait for a writer, and a writer for QEMU.
        ours = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            file = {"in": str(pipe), "out": str(record), "append": True}
            changed = {"id": _DEVICE, "backend": {"type": "file", "data": file}}
            domain.ask_qemu("chardev-change", changed, until)
            domain.ask_qemu("chardev-send-break", {"id": _DEVICE}, until)
            os.write(ours, keys.encode())
        finally:
            os.close(ours)  # QEMU has its end, and in it what was typed
