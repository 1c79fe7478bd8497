"""The smallest x86_64 machine that drgn can read after its crash: three page tables and a printk ring."""

import struct

from kdump_tests.unit.vmcore.dumps import PAGE, VMCOREINFO, KdumpCompressed
from kdump_tests.unit.vmcore.rings import SyntheticRing

_TABLES = 0x1000_0000 >> 4  # physical; __START_KERNEL_map + this is swapper_pg_dir in VMCOREINFO
_PRESENT, _HUGE = 0x63, 0x1E3


def crashed_machine(ring: SyntheticRing) -> KdumpCompressed:
    """A dump of a machine whose kernel text mapping is one 2 MiB page, the ring in its middle."""
    memory = _table(511, _TABLES + PAGE | _PRESENT)
    memory += _table(510, _TABLES + 2 * PAGE | _PRESENT)
    memory += _table(_TABLES >> 21, _TABLES | _HUGE)
    frames = {(_TABLES >> 12) + i: memory[i * PAGE : (i + 1) * PAGE] for i in range(3)}
    log = ring.finished()
    frames |= {(_TABLES >> 12) + 16 + i: log[i * PAGE : (i + 1) * PAGE] for i in range(len(log) // PAGE)}
    values = ring.vmcoreinfo() | {"SYMBOL(_stext)": "ffffffff81000000", "NUMBER(pgtable_l5_enabled)": "0"}
    vmcoreinfo = VMCOREINFO + "".join(f"{key}={value}\n" for key, value in values.items()).encode()
    return KdumpCompressed(frames, vmcoreinfo, max_mapnr=(_TABLES >> 12) + 32)


def _table(index: int, entry: int) -> bytes:
    table = bytearray(PAGE)
    struct.pack_into("<Q", table, index * 8, entry)
    return bytes(table)
