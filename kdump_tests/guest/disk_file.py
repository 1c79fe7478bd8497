"""A disk that somebody brought: looked at before anything of ours opens it for good, never written to."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdump_tests.deadline import Deadline
from kdump_tests.errors import ImageError, LabError
from kdump_tests.sizes import GIB, TIB, format_size
from kdump_tests.subprocesses import run

FORMATS = ("qcow2", "raw", "vmdk")
# A file that was made to harm makes qemu-img take memory and time without end (CVE-2015-5163 and others);
# these are OpenStack's limits for the same call.
_LIMITS = ("prlimit", f"--as={1 * GIB}", "--cpu=30", "--")
_SECONDS = 60.0
_LARGEST = 16 * TIB
_SECTOR = 512
_BOOT_SIGNATURE = b"\x55\xaa"


@dataclass(frozen=True)
class DiskFile:
    """A whole disk, in a format that qemu-img found in its content."""

    path: Path
    format: str
    size: int  # bytes that the machine sees

    @property
    def identity(self) -> str:
        """Changes when the file does, as far as its file system tells."""
        found = self.path.stat()
        told = (str(self.path), found.st_ino, found.st_size, found.st_mtime_ns)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]

    @classmethod
    def examine(cls, path: Path) -> "DiskFile":
        """What a file is, by its content.

        Raises:
            ImageError: it is no disk, not what its name says, or leads to other files of this host.
        """
        try:
            path = path.resolve(strict=True)
            if not path.is_file():
                raise ImageError(f"{path} is not a file")
            told = json.loads(
                run(
                    [*_LIMITS, "qemu-img", "info", "--output=json", path],
                    Deadline.after(_SECONDS, f"{path} is looked at"),
                )
            )
        except OSError as error:
            raise ImageError(f"{path} cannot be read", reason=error) from None
        except (LabError, ValueError) as error:
            said = error.facts.get("said", "") if isinstance(error, LabError) else ""
            raise ImageError(f"{path} is no disk that QEMU can read", reason=said or error) from None
        found = cls(path, str(told.get("format")), int(told.get("virtual-size", 0)))
        found._require_usable(told)
        return found

    def _require_usable(self, told: dict[str, Any]) -> None:
        named = self.path.suffix.removeprefix(".").lower()
        if named in FORMATS and named != self.format:
            raise ImageError(
                f"{self.path} is not a {named}",
                reason=f"qemu-img finds {self.format} in it",
                way_out="download it again, and compare its checksum",
            )
        if self.format not in FORMATS:
            raise ImageError(
                f"{self.path} is {self.format}",
                known=", ".join(FORMATS),
                way_out=f"qemu-img convert -O qcow2 {self.path.name} disk.qcow2",
            )
        if others := sorted(_other_files(told, self.path)):
            raise ImageError(
                f"{self.path} leads to other files",
                files=", ".join(others),
                reason="a guest would read whatever this host has there",
                way_out=f"where you trust it: qemu-img convert -O qcow2 {self.path.name} whole.qcow2",
            )
        if not _SECTOR < self.size <= _LARGEST:
            raise ImageError(f"{self.path} is a disk of {format_size(self.size)}")
        if self.format == "raw":
            with self.path.open("rb") as file:
                if file.read(_SECTOR)[-2:] != _BOOT_SIGNATURE:
                    raise ImageError(
                        f"{self.path} is no disk that a machine boots from",
                        reason="no qcow2, no vmdk, and no boot signature in the first sector of a raw disk",
                    )


def _other_files(told: dict[str, Any], path: Path) -> set[str]:
    """Every other file that the disk's own header names: what it lies on, where its data is."""
    specific = told.get("format-specific", {}).get("data", {})
    named = {str(told[key]) for key in ("backing-filename", "full-backing-filename") if told.get(key)}
    named |= {str(specific[key]) for key in ("data-file",) if specific.get(key)}
    named |= {str(extent.get("filename")) for extent in specific.get("extents", ())}
    return named - {str(path)}
