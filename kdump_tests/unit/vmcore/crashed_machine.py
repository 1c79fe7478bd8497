"""The smallest x86_64 machine that drgn can read after its crash: three page tables and a printk ring."""

import struct
from collections.abc import Mapping

from kdump_tests.unit.vmcore.dumps import PAGE, VMCOREINFO, KdumpCompressed
from kdump_tests.unit.vmcore.memory_maps import SECTION, SIZE, Block, MemoryMap
from kdump_tests.unit.vmcore.rings import SyntheticRecords, SyntheticRing

_TABLES = 0x1000_0000 >> 4  # physical; __START_KERNEL_map + this is swapper_pg_dir in VMCOREINFO
_PRESENT, _HUGE = 0x63, 0x1E3
FIRST = _TABLES >> 12
"""The frame of the first page that the machine uses."""
_ROOTS, _SECTIONS, _STRUCTS = (0xFFFF_FFFF_8100_0000 + page * PAGE for page in (20, 21, 22))


def crashed_machine(ring: SyntheticRing | SyntheticRecords, *, dump_level: int = 31) -> KdumpCompressed:
    """A dump of a machine whose kernel text mapping is one 2 MiB page, the ring in its middle."""
    told = _told(ring.vmcoreinfo())
    return KdumpCompressed(_kernel(ring), told, max_mapnr=FIRST + 32, dump_level=dump_level)


def machine_with_users(
    ring: SyntheticRing,
    users: Mapping[int, bytes],
    *,
    dump_level: int,
    loses_slab: bool = False,
    leaks_users: bool = False,
) -> KdumpCompressed:
    """The same with a memory map, of one section: there are no frames but those from FIRST to FIRST + 31.

    ``users`` are pages of user data by their frame, which is FIRST + 24 or more; a level may leave them out.
    ``loses_slab``: the makedumpfile takes the page of frame FIRST + 23 for a user's. ``leaks_users``: it
    takes none for a user's, whatever the level.
    """
    blocks = (
        [Block("kernel", 3)] * 2 + [Block("kernel")] * 7 + [Block("odd slab" if loses_slab else "kernel")]
    )
    blocks += [Block("anonymous" if FIRST + n in users else "free") for n in range(24, 32)]
    memory_map = MemoryMap("6.12", blocks)
    sections = bytearray(PAGE)
    struct.pack_into("<Q", sections, FIRST // SECTION * 16 + 8, _STRUCTS - FIRST * SIZE & (1 << 64) - 1 | 1)
    frames = _kernel(ring) | {FIRST + n: b"kernel".ljust(PAGE, b"k") for n in (*range(3, 16), 23)}
    frames |= {
        FIRST + 20: struct.pack("<Q", _SECTIONS).ljust(PAGE, b"\0"),
        FIRST + 21: bytes(sections),
        FIRST + 22: bytes(memory_map.structs).ljust(PAGE, b"\0"),
    }
    if leaks_users or not dump_level & 8:
        frames |= users
    if loses_slab:
        del frames[FIRST + 23]
    values = ring.vmcoreinfo() | dict(memory_map.vmcoreinfo) | {"SYMBOL(mem_section)": f"{_ROOTS:x}"}
    dump = KdumpCompressed(frames, _told(values), max_mapnr=FIRST + 32, dump_level=dump_level)
    image = bytearray(dump.image)
    image[dump.bitmap_1 : dump.bitmap_1 + FIRST // 8] = bytes(FIRST // 8)
    dump.image = bytes(image)
    return dump


def _kernel(ring: SyntheticRing | SyntheticRecords) -> dict[int, bytes]:
    memory = _table(511, _TABLES + PAGE | _PRESENT)
    memory += _table(510, _TABLES + 2 * PAGE | _PRESENT)
    memory += _table(_TABLES >> 21, _TABLES | _HUGE)
    frames = {FIRST + i: memory[i * PAGE : (i + 1) * PAGE] for i in range(3)}
    log = ring.finished()
    return frames | {FIRST + 16 + i: log[i * PAGE : (i + 1) * PAGE] for i in range(len(log) // PAGE)}


def _told(values: Mapping[str, str]) -> bytes:
    told = {"SYMBOL(_stext)": "ffffffff81000000", "NUMBER(pgtable_l5_enabled)": "0"} | dict(values)
    known = VMCOREINFO.decode()
    return (
        known + "".join(f"{key}={value}\n" for key, value in told.items() if f"{key}=" not in known)
    ).encode()


def _table(index: int, entry: int) -> bytes:
    table = bytearray(PAGE)
    struct.pack_into("<Q", table, index * 8, entry)
    return bytes(table)
