"""The memory a running kernel keeps for its capture kernel, read from what a guest tells.

A guest may be broken or hostile: text that makes no sense is an error of the laboratory's, with the text
in it, never a guess.
"""

import re
from dataclasses import dataclass, replace

from kdump_tests.errors import LabError
from kdump_tests.sizes import GIB, MIB


@dataclass(frozen=True)
class Reservation:
    """Memory set aside for the capture kernel, in bytes."""

    main: int
    low: int = 0  # x86 and arm64 keep a second piece below 4 GiB when the main one lies above
    cma: int = 0  # what the running kernel may use meanwhile

    @property
    def total(self) -> int:
        """Both pieces that are kept aside."""
        return self.main + self.low

    @property
    def in_whole_mib(self) -> "Reservation":
        """As a kernel tells it that speaks in whole MiB."""
        return Reservation(*(size // MIB * MIB for size in (self.main, self.low, self.cma)))


@dataclass(frozen=True)
class Announcement:
    """What a kernel said in its boot log about its reservation.

    ``words`` are its lines in order, without time stamps; none when it said nothing. ``refusals`` are
    those of them that say why nothing is reserved. x86 up to 6.6 and powerpc speak in whole MiB and so do
    the reservation and its addresses then; CMA is always told like that, and without an address.
    """

    reservation: Reservation
    words: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    main_at: int | None = None
    low_at: int | None = None

    @property
    def within(self) -> tuple[tuple[int, int], ...]:
        """Where what is reserved lies, as starts and ends (excluded) in bytes: there, and nowhere else.

        x86 up to 6.6 and powerpc leave out what is less than a MiB, of the size and of the address: the end
        may be nearly two MiB further.
        """
        unsaid = 2 * MIB if self._speaks_in_mib else 0
        pieces = ((self.main_at, self.reservation.main), (self.low_at, self.reservation.low))
        return tuple((at, at + size + unsaid) for at, size in pieces if at is not None and size)

    @property
    def _speaks_in_mib(self) -> bool:
        return any(_MAIN_IN_MIB.fullmatch(word) for word in self.words)

    def as_told(self, reservation: Reservation) -> Reservation:
        """How this kernel would tell of a reservation.

        Linux 6.1 tells whole MiB only; CMA is told like that by all, if they were built with it.
        """
        if self._speaks_in_mib:
            reservation = reservation.in_whole_mib
        unsupported = any(_CMA_UNSUPPORTED.fullmatch(word) for word in self.words)
        return replace(reservation, cma=0 if unsupported else reservation.in_whole_mib.cma)


def parse_crash_size(text: str) -> int:
    """Bytes of /sys/kernel/kexec_crash_size: main and low together in Linux 6.12, only main in 6.1.

    Source: crash_get_memory_size() in kernel/kexec_core.c of 6.1, kernel/crash_core.c of 6.12.

    Raises:
        LabError: it is not one number.
    """
    match = re.fullmatch(r"\s*([0-9]{1,20})\s*", text, re.ASCII)
    if match is None:
        raise LabError("/sys/kernel/kexec_crash_size is not a number", said=_excerpt(text))
    return int(match[1])


_IOMEM_LINE = re.compile(r"^ *([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)$", re.ASCII | re.MULTILINE)


def parse_iomem(text: str) -> Reservation:
    """The "Crash kernel" pieces of /proc/iomem, as root reads it.

    Raises:
        LabError: the addresses are hidden, or it is not what /proc/iomem looks like.
    """
    resources = [(int(m[1], 16), int(m[2], 16), m[3].strip()) for m in _IOMEM_LINE.finditer(text)]
    if not resources:
        raise LabError("this is not /proc/iomem", said=_excerpt(text))
    # r_show() in kernel/resource.c prints zeros for whoever lacks CAP_SYS_ADMIN.
    if not any(end for _, end, _ in resources):
        raise LabError("/proc/iomem hides its addresses", way_out="read it as root")
    pieces = sorted((start, end) for start, end, name in resources if name == "Crash kernel")
    shown = "\n".join(f"{start:x}-{end:x}" for start, end in pieces[:8])
    if any(end < start for start, end in pieces):
        raise LabError("/proc/iomem has a Crash kernel piece that ends before it starts", pieces=shown)
    match [end - start + 1 for start, end in pieces]:
        case []:
            return Reservation(0)
        case [main]:
            return Reservation(main)
        case [low, main] if pieces[0][1] < 4 * GIB <= pieces[1][0]:
            return Reservation(main, low)
        case _:
            raise LabError("/proc/iomem has Crash kernel pieces that no kernel makes", pieces=shown)


# Linux 6.1 on x86 (arch/x86/kernel/setup.c), older ones and RHEL's; every one on powerpc
# (arch/powerpc/kexec/core.c).
_MAIN_IN_MIB = re.compile(
    r"Reserving (?P<mib>\d{1,12})MB of memory at (?P<at>\d{1,12})MB for crashkernel \(System RAM: \d+MB\)",
    re.ASCII,
)
_LOW_IN_MIB = re.compile(
    r"Reserving (?P<mib>\d{1,12})MB of low memory at (?P<at>\d{1,12})MB for crashkernel"
    r" \((?:low RAM limit|System low RAM): \d+MB\)",
    re.ASCII,
)
# x86 from 6.12 at the latest, arm64 from 6.1 (kernel/crash_reserve.c); the second address is the first
# byte after the piece.
_MAIN = re.compile(
    r"crashkernel reserved: 0x(?P<start>[0-9a-f]{1,16}) - 0x(?P<end>[0-9a-f]{1,16}) \(\d+ MB\)", re.ASCII
)
_LOW = re.compile(
    r"crashkernel low memory reserved: 0x(?P<start>[0-9a-f]{1,16}) - 0x(?P<end>[0-9a-f]{1,16}) \(\d+ MB\)",
    re.ASCII,
)
# 35c18f2933c5 (6.17). What came short is told beside what was asked for.
_CMA = re.compile(
    r"crashkernel CMA (?:reserved: |reservation failed: \d+ MB requested, )(?P<mib>\d{1,12}) MB"
    r"(?: reserved)? in \d+ ranges",
    re.ASCII,
)
_CMA_UNSUPPORTED = re.compile(r"crashkernel CMA reservation (?:not supported|failed: CMA disabled)")
_REFUSAL = re.compile(
    r"""
      crashkernel\ reservation\ failed\ -\ .+
    | cannot\ allocate\ crashkernel\ .+
    | Cannot\ reserve\ \d+MB\ crashkernel\ low\ memory.*
    | Ignoring\ crashkernel\ for\ a\ Xen\ PV\ domain
    # The parser's own; 6.1 forgets the prefix of two of them.
    | (?:crashkernel:\ )?[Mm]emory\ value\ expected.*
    | crashkernel:\ (?:'-'\ expected|':'\ expected|end\ <=\ start|invalid\ size|unrecognized\ char:.*)
    | crashkernel\ size\ resulted\ in\ zero\ bytes
    # arch/powerpc/kexec/core.c
    | Crash\ kernel\ can\ not\ overlap\ current\ kernel
    # RHEL 7 (kernel/crash_core.c)
    | crashkernel=auto\ resulted\ in\ zero\ bytes\ of\ reserved\ memory.*
    """,
    re.ASCII | re.VERBOSE,
)
# powerpc, after it has told what it reserves.
_TAKEN_BACK = "Failed to reserve memory for crashkernel!"
# RHEL 8, and powerpc where an offset is none of its pages, before they reserve.
_REMARK = re.compile(
    r"Using crashkernel=auto, .+|Crash kernel (?:location must be|base must be aligned to) 0x[0-9a-f]+",
    re.ASCII,
)
# "[    0.031719] ", perhaps more than one kind, and RHEL 7's "kexec: ".
_STAMP = re.compile(r"^(?:\s*(?:<\d+>|\[[^\]]{1,32}\]))*\s*(?:kexec: )?", re.ASCII)


def parse_boot_log(text: str) -> Announcement:
    """What the log of one boot says of the reservation, from dmesg or the serial line.

    Raises:
        LabError: it names sizes that cannot be, or two different ones: the logs of two boots.
    """
    main: dict[_Piece, str] = {}
    low: dict[_Piece, str] = {}
    cma: dict[int, str] = {}
    words: list[str] = []
    refusals: list[str] = []
    for line in text.splitlines():
        said = _STAMP.sub("", line, count=1).rstrip()
        if found := _MAIN.fullmatch(said) or _MAIN_IN_MIB.fullmatch(said):
            main[_piece(found)] = said
        elif found := _LOW.fullmatch(said) or _LOW_IN_MIB.fullmatch(said):
            low[_piece(found)] = said
        elif found := _CMA.fullmatch(said):
            cma[int(found["mib"]) * MIB] = said
        elif said == _TAKEN_BACK:
            main.clear()
            refusals.append(said)
        elif _REFUSAL.fullmatch(said):
            refusals.append(said)
        elif not (_REMARK.fullmatch(said) or _CMA_UNSUPPORTED.fullmatch(said)):
            continue
        # An early console and the real one may both print the same line.
        if said not in words:
            words.append(said)
    if max(len(main), len(low), len(cma)) > 1:
        raise LabError("the boot log tells of two different reservations", said="\n".join(words[:8]))
    main_piece = next(iter(main), None)
    low_piece = next(iter(low), None) if main_piece else None  # given back when there was no room for main
    return Announcement(
        Reservation(
            main_piece.size if main_piece else 0, low_piece.size if low_piece else 0, next(iter(cma), 0)
        ),
        tuple(words),
        tuple(dict.fromkeys(refusals)),
        main_piece.start if main_piece else None,
        low_piece.start if low_piece else None,
    )


@dataclass(frozen=True)
class _Piece:
    start: int
    size: int


def _piece(found: re.Match[str]) -> _Piece:
    groups = found.groupdict()
    if "mib" in groups:
        piece = _Piece(int(groups["at"]) * MIB, int(groups["mib"]) * MIB)
    else:
        start = int(groups["start"], 16)
        piece = _Piece(start, int(groups["end"], 16) - start)
    if piece.size <= 0:
        raise LabError("the boot log tells of a reservation that ends before it starts", said=found[0])
    return piece


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
