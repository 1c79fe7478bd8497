"""The kernel's log in memory, as kernel/printk/printk_ringbuffer.c writes it, and as printk.c did before."""

import struct
from dataclasses import dataclass, field

FAILED, EMPTY_LINE = (1, 1), (3, 3)
RESERVED, COMMITTED, FINALIZED, REUSABLE = range(4)

# A layout that no kernel has: whoever hard-codes an offset reads nonsense.
_LAYOUT = {
    "SIZE(prb_desc)": 40,
    "OFFSET(prb_desc.state_var)": 16,
    "OFFSET(prb_desc.text_blk_lpos)": 24,
    "OFFSET(atomic_long_t.counter)": 0,
    "OFFSET(prb_data_blk_lpos.begin)": 8,
    "OFFSET(prb_data_blk_lpos.next)": 0,
    "SIZE(printk_info)": 56,
    "OFFSET(printk_info.ts_nsec)": 24,
    "OFFSET(printk_info.text_len)": 40,
    "OFFSET(printk_ringbuffer.desc_ring)": 64,
    "OFFSET(printk_ringbuffer.text_data_ring)": 0,
    "OFFSET(prb_desc_ring.count_bits)": 48,
    "OFFSET(prb_desc_ring.descs)": 0,
    "OFFSET(prb_desc_ring.infos)": 8,
    "OFFSET(prb_desc_ring.head_id)": 16,
    "OFFSET(prb_desc_ring.tail_id)": 24,
    "OFFSET(prb_data_ring.size_bits)": 0,
    "OFFSET(prb_data_ring.data)": 8,
}
_RING, _DESCRIPTORS, _INFOS, _TEXT = 0x100, 0x1000, 0x2000, 0x3000

_RECORD, _BUFFER = 24, 0x1000


@dataclass
class SyntheticRing:
    """Sixteen records and 512 bytes of text. ``base`` is the virtual address of its 16 KiB of memory."""

    base: int = 0xFFFF_FFFF_8101_0000
    count_bits: int = 4
    size_bits: int = 9
    first_id: int = 0xFFFF_FFEF  # as the kernel starts: -(count + 1), in 32 bits
    memory: bytearray = field(default_factory=lambda: bytearray(0x4000))
    head_id: int | None = None
    tail_id: int | None = None
    position: int = 0

    def say(
        self, text: bytes, *, at: float = 1.0, state: int = FINALIZED, blockless: tuple[int, int] = (0, 0)
    ) -> None:
        """Append one record. The oldest falls out when there is no slot; its text is simply overwritten."""
        count, size = 1 << self.count_bits, 1 << self.size_bits
        record = self.first_id if self.head_id is None else (self.head_id + 1) % (1 << 62)
        self.head_id = record
        self.tail_id = record if self.tail_id is None else self.tail_id
        if (record - self.tail_id) % (1 << 62) >= count:
            self.tail_id = (self.tail_id + 1) % (1 << 62)
        begin, next_ = blockless
        if not next_:
            begin, next_ = self._place(record, text, size)
        slot = record % count
        descriptor, info = _DESCRIPTORS + 40 * slot, _INFOS + 56 * slot
        struct.pack_into("<QQQ", self.memory, descriptor + 16, state << 62 | record, next_, begin)
        struct.pack_into("<Q", self.memory, info + 24, int(at * 1e9))
        struct.pack_into("<H", self.memory, info + 40, len(text))

    def _place(self, record: int, text: bytes, size: int) -> tuple[int, int]:
        begin, needed = self.position, 8 + len(text) + -len(text) % 8
        next_ = begin + needed
        struct.pack_into("<Q", self.memory, _TEXT + begin % size, record)
        block = begin % size
        if begin // size != (next_ - 1) // size:
            block, next_ = 0, (begin // size + 1) * size + needed
        struct.pack_into("<Q", self.memory, _TEXT + block, record)
        self.memory[_TEXT + block + 8 : _TEXT + block + 8 + len(text)] = text
        self.position = next_
        return begin, next_

    def vmcoreinfo(self) -> dict[str, str]:
        symbol = {"SYMBOL(prb)": f"{self.base:x}"}
        return symbol | {key: str(value) for key, value in _LAYOUT.items()}

    def finished(self) -> bytes:
        """All of the memory: a pointer to the ring at its start, then the ring."""
        struct.pack_into("<Q", self.memory, 0, self.base + _RING)
        struct.pack_into("<I4xQ", self.memory, _RING, self.size_bits, self.base + _TEXT)
        arrays = (self.base + _DESCRIPTORS, self.base + _INFOS)
        struct.pack_into("<QQQQ", self.memory, _RING + 64, *arrays, self.head_id or 0, self.tail_id or 0)
        struct.pack_into("<I", self.memory, _RING + 64 + 48, self.count_bits)
        return bytes(self.memory)

    def read(self, address: int, size: int) -> bytes:
        """Memory, which must be asked for within bounds."""
        start = address - self.base
        assert 0 <= start <= start + size <= len(self.memory), f"read of {size} bytes at {address:#x}"
        return self.finished()[start : start + size]


@dataclass
class SyntheticRecords:
    """The log of a kernel before 5.10: a buffer of ``size`` bytes, whose oldest records make room."""

    base: int = 0xFFFF_FFFF_8101_0000
    size: int = 512
    name: str = "printk_log"  # "log" up to 3.10
    memory: bytearray = field(default_factory=lambda: bytearray(0x4000))
    first: int = 0
    next: int = 0
    _kept: list[int] = field(default_factory=list)  # where the records begin

    def say(self, text: bytes, *, at: float = 1.0) -> None:
        """Append one record. Its buffer wraps where there is no room for it and a header of length 0."""
        length = -(-(_RECORD + len(text)) // 8) * 8
        if self.next + length + _RECORD > self.size:
            self._forget(self.next, self.size)
            struct.pack_into("<H", self.memory, _BUFFER + self.next + 12, 0)
            self.next = 0
        self._forget(self.next, self.next + length + _RECORD)
        place = _BUFFER + self.next
        struct.pack_into("<QxxxxHH", self.memory, place, int(at * 1e9), length, len(text))
        self.memory[place + _RECORD : place + _RECORD + len(text)] = text
        self._kept.append(self.next)
        self.next += length
        self.first = self._kept[0]

    def _forget(self, start: int, end: int) -> None:
        self._kept = [at for at in self._kept if not start <= at < end]

    def vmcoreinfo(self) -> dict[str, str]:
        """A layout that no kernel has."""
        symbols = {"log_buf": 0, "log_buf_len": 8, "log_first_idx": 12, "log_next_idx": 16}
        told = {f"SYMBOL({name})": f"{self.base + at:x}" for name, at in symbols.items()}
        told[f"SIZE({self.name})"] = str(_RECORD)
        return told | {
            f"OFFSET({self.name}.{member})": str(at)
            for member, at in (("ts_nsec", 0), ("len", 12), ("text_len", 14))
        }

    def finished(self) -> bytes:
        """All of the memory."""
        struct.pack_into("<QIII", self.memory, 0, self.base + _BUFFER, self.size, self.first, self.next)
        return bytes(self.memory)

    def read(self, address: int, size: int) -> bytes:
        """Memory, which must be asked for within bounds."""
        start = address - self.base
        assert 0 <= start <= start + size <= len(self.memory), f"read of {size} bytes at {address:#x}"
        return self.finished()[start : start + size]
