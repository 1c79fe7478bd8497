"""The vmlinux of a dump's own kernel, known by its build ID: a name or a release proves nothing."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadDump, BadInput, LabError
from kdump_tests.subprocesses import run
from kdump_tests.vmcore.flaw import Flaw
from kdump_tests.vmcore.image import PlainFile, open_file
from kdump_tests.vmcore.notes import notes
from kdump_tests.vmcore.vmlinux import note_segments

DEBUGINFOD = "debuginfod-find"
_NT_GNU_BUILD_ID = 3  # elf.h
_LONGEST_BUILD_ID = 64  # bytes; ld's longest, SHA-1, has 20
# debuginfod-find gives up by itself where a server is silent; a vmlinux of 600 MB takes its time.
_DOWNLOAD_SECONDS = 900.0

# Where packages put it: Debian and Ubuntu, Fedora and RHEL, SUSE, a kernel of one's own (make install).
_INSTALLED = (
    "usr/lib/debug/boot/vmlinux-{release}",
    "usr/lib/debug/lib/modules/{release}/vmlinux",
    "usr/lib/debug/boot/vmlinux-{release}.debug",
    "lib/modules/{release}/build/vmlinux",
)


@dataclass(frozen=True)
class Vmlinux:
    """A kernel with its debug information. ``build_id`` is in hex."""

    path: Path
    build_id: str


@dataclass(frozen=True)
class Search:
    """What was found, and every place that was looked at, for whoever wonders why nothing was."""

    vmlinux: Vmlinux | None
    looked_at: tuple[str, ...]


def build_id_of(path: Path) -> str:
    """The build ID of a vmlinux, in hex.

    Raises:
        BadInput: the file is not there, may not be read, is no ELF file of 64 bits or has no such ID.
    """
    try:
        with open_file(path) as file:
            return _build_id(file)
    except BadDump as error:  # what open_file() says of a file that is none
        raise BadInput(f"{path} is no vmlinux", reason=error.facts["reason"]) from None
    except Flaw as flaw:
        raise BadInput(f"{path} is no vmlinux", reason=flaw) from None


def chosen(given: Path, build_id: str | None, dump: Path) -> Vmlinux:
    """The vmlinux that somebody named, or the right one in the folder they named.

    Raises:
        BadInput: it is of another kernel than the dump, or there is none.
    """
    if build_id is None:
        raise BadInput(
            f"{dump.name} does not tell its kernel's build ID, so no vmlinux can be known to be its own",
            dump=dump,
            reason="VMCOREINFO has it since Linux 5.9",
        )
    if given.is_dir():
        found = next((file for file in _in_folder(given, build_id) if _is(file, build_id)), None)
        if found is None:
            raise BadInput(f"{given} holds no vmlinux of build ID {build_id}", dump=dump)
        return Vmlinux(found, build_id)
    if (own := build_id_of(given)) != build_id:
        raise BadInput(
            f"{given} is not the kernel of {dump.name}",
            build_ID_of_the_vmlinux=own,
            build_ID_of_the_dump=build_id,
            way_out="leave --vmlinux out, and it is looked for by its build ID",
        )
    return Vmlinux(given, own)


def find(build_id: str | None, release: str | None, cache: Path, root: Path = Path("/")) -> Search:
    """The vmlinux of that build ID on this host, or what ``debuginfod-find`` fetches.

    A server is only asked where ``$DEBUGINFOD_URLS`` names one. ``cache`` is kdump-verify's own.
    """
    if build_id is None:
        return Search(None, ("nowhere: the dump does not tell its kernel's build ID",))
    looked_at: list[str] = []
    for place in _places(build_id, release, cache, root):
        looked_at.append(str(place))
        if _is(place, build_id):
            return Search(Vmlinux(place, build_id), tuple(looked_at))
    if _server_is_named():
        looked_at.append(f"{DEBUGINFOD} ({os.environ['DEBUGINFOD_URLS'].strip()})")
        fetched = _fetched(build_id)
        if fetched and _is(fetched, build_id):
            return Search(Vmlinux(fetched, build_id), tuple(looked_at))
    return Search(None, tuple(looked_at))


def may_be_found(cache: Path, image: str | None, root: Path = Path("/")) -> bool:
    """Whether find() may have a vmlinux for dumps of guests of that image, of which none is there yet.

    None is for a machine of which just as little is known.
    """
    fetched = {path.parent.parent.name for path in cached(cache).glob("*/*/vmlinux")}
    installed = (place for pattern in _INSTALLED for place in root.glob(pattern.format(release="*")))
    return image in fetched or (image is None and bool(fetched)) or any(installed) or _server_is_named()


def cached(cache: Path) -> Path:
    """The folder of the cache where ``kdump-verify image debuginfo`` puts what it installs."""
    return cache / "debuginfo"


def _places(build_id: str, release: str | None, cache: Path, root: Path) -> Iterator[Path]:
    yield from sorted(cached(cache).glob(f"*/{build_id}/vmlinux"))
    yield root / "usr/lib/debug/.build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    # A release is the dump's word, and must not lead elsewhere.
    if release and "/" not in release and ".." not in release:
        yield from (root / place.format(release=release) for place in _INSTALLED)


def _in_folder(folder: Path, build_id: str) -> Iterator[Path]:
    yield from (
        folder / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug",
        folder / build_id / "vmlinux",
    )
    yield from sorted(folder.glob("vmlinux*"))


def _is(path: Path, build_id: str) -> bool:
    try:
        return path.is_file() and build_id_of(path) == build_id
    except (BadInput, OSError):
        return False


def _server_is_named() -> bool:
    return bool(os.environ.get("DEBUGINFOD_URLS", "").strip() and shutil.which(DEBUGINFOD))


def _fetched(build_id: str) -> Path | None:
    until = Deadline.after(_DOWNLOAD_SECONDS, f"{DEBUGINFOD} fetches the vmlinux of {build_id}")
    try:
        said = run([DEBUGINFOD, "debuginfo", build_id], until).strip()
    except LabError:  # no server has it
        return None
    return Path(said) if said else None


def _build_id(file: PlainFile) -> str:
    for start, size in note_segments(file):
        for note in notes(file, start, size):
            if (note.name, note.kind) == (b"GNU", _NT_GNU_BUILD_ID) and 0 < note.size <= _LONGEST_BUILD_ID:
                return file.read(note.offset, note.size).hex()
    raise Flaw("it has no build ID")
