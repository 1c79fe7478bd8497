"""The machine that QEMU plays for a kernel, per architecture, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from kdump_tests.sizes import GIB, MIB

# What TCG can do and an x86 guest must not use.
# cx16: QEMU 7.2 corrupts EFLAGS around cmpxchg16b, and the guest dies of a double fault that looks like a
# crash of ours.
# erms, fsrm: with them the kernel clears and copies pages by `rep stosb` and `rep movsb`, which TCG does
# byte by byte. Without, by eight bytes at a time: a boot takes two thirds of the time.
# Nothing else is left out: without svm, Debian 12's systemd meets EINVAL.
TCG_WITHOUT = ("cx16", "erms", "fsrm")


@dataclass(frozen=True)
class Emulation:
    """A machine that is booted just so far. Sizes in bytes."""

    qemu: str
    machine: str
    cpus: Mapping[str, str]  # by accelerator
    console: str  # on the command line, so that the kernel speaks before its console is there
    # What QEMU takes of the host at any size, and of how many bytes of the guest it takes one more.
    host_memory: tuple[int, int]
    largest_memory: int  # that is asked when nobody names a size
    seconds: float  # longer than any answer takes: 1 TiB on a busy host
    memory_step: int = MIB  # what a machine's memory is a multiple of

    def real_memory(self, memory: int) -> int:
        """What QEMU takes of the host for a guest of so many bytes."""
        base, guest_bytes = self.host_memory
        return base + memory // guest_bytes


# Times and memory: Debian's kernels under QEMU 7.2's TCG, on two cores of 2.6 GHz.
# ignore_loglevel: some distributions build their kernels to print warnings only; the reservation is told at
# level info.
EMULATIONS: Mapping[str, Emulation] = {
    # 0.5 s and 150 MiB up to 256 GiB, 250 MiB at 1 TiB, 5 s and 1.7 GiB at 16 TiB: the kernel's memory map
    # is all that it touches.
    "x86_64": Emulation(
        qemu="qemu-system-x86_64",
        machine="q35",
        # TCG's own 40 address bits end at 1 TiB.
        cpus={"tcg": f"max,{','.join(f'-{name}' for name in TCG_WITHOUT)},phys-bits=48", "kvm": "host"},
        console="console=ttyS0 earlyprintk=ttyS0 ignore_loglevel",
        host_memory=(200 * MIB, 8192),
        largest_memory=16 << 40,
        seconds=120.0,
    ),
    # 0.2 s and 150 MiB up to 8 GiB, 5 s (Linux 6.1) or 2 s (6.12) and 700 MiB at 256 GiB, 36 s or 7 s and
    # 2.3 GiB at 1 TiB: before it reserves, the kernel maps each page of 4 KiB by itself.
    "arm64": Emulation(
        qemu="qemu-system-aarch64",
        machine="virt",
        # As fast as any that has a name (cortex-a72, cortex-a76, neoverse-n1), with the most address bits.
        cpus={"tcg": "max"},
        console="earlycon ignore_loglevel",
        host_memory=(200 * MIB, 450),
        largest_memory=256 * GIB,
        seconds=300.0,
    ),
    # 0.5 s and 170 MiB up to 2 GiB, 1.3 s and 660 MiB at 64 GiB, 10 s and 2.2 GiB at 256 GiB, 34 s and
    # 8.5 GiB at 1 TiB: QEMU fills a hashed page table of 1/128 of the memory.
    "ppc64le": Emulation(
        qemu="qemu-system-ppc64",
        # x-vof: QEMU's own small firmware, since 6.1. The usual one, SLOF, alone takes four seconds.
        # cap-*: guards against speculation that TCG lacks, and warns of when they are on.
        machine="pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
        cpus={"tcg": "power9"},
        console="ignore_loglevel",
        host_memory=(200 * MIB, 120),
        largest_memory=256 * GIB,
        seconds=300.0,
        # SPAPR_MEMORY_BLOCK_SIZE, include/hw/ppc/spapr.h
        memory_step=256 * MIB,
    ),
}
