"""Running a host's program: argv without a shell, a deadline, its own words when it fails."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError, NoSpace, ToolMissing

# Debian's name of the package that brings each program, for the way out of ToolMissing.
PACKAGES = {
    "crash": "crash",
    "bsdtar": "libarchive-tools",
    "dpkg-deb": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "prlimit": "util-linux",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-ppc64": "qemu-system-ppc",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def program(name: str) -> str:
    """The full path of a program of the host.

    Raises:
        ToolMissing: it is not there.
    """
    # Debian keeps mke2fs in /usr/sbin, which is not on everybody's PATH.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/libexec")
    if path is None:
        raise ToolMissing(
            f"{name} is not installed",
            package=PACKAGES.get(name, name),
            way_out="scripts/setup installs all that is needed",
        )
    return path


def run(
    argv: Sequence[str | Path],
    until: Deadline,
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Standard output of a program, or nothing when both its outputs go to the file ``log``.

    Raises:
        ToolMissing: the program is not there.
        NoSpace: it failed and said that the disk is full.
        LabError: it failed otherwise; carries the command and the tail of what it printed.
        DeadlineExpired: it was still running and has been killed, its process group with it.
    """
    command = [program(str(argv[0])), *map(str, argv[1:])]
    sink = log.open("ab") if log else None
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.STDOUT if sink else subprocess.PIPE,
            # Their words are read: in one language, whatever the user's is.
            env={**(os.environ if env is None else env), "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
    finally:
        if sink:
            sink.close()
    shown = " ".join(command)
    with process:
        try:
            out, err = process.communicate(timeout=until.left)
        except subprocess.TimeoutExpired:
            raise until.error(command=shown, log=log) from None
        finally:
            if process.poll() is None:
                kill_group(process)
    if process.returncode != 0:
        said = log.read_text(errors="replace") if log else err.decode(errors="replace")
        tail = "\n".join(said.strip().splitlines()[-12:])
        kind = NoSpace if "No space left on device" in said else LabError
        raise kind(f"{argv[0]} failed with status {process.returncode}", command=shown, said=tail, log=log)
    return "" if log else out.decode(errors="replace")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, with all that it started there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
