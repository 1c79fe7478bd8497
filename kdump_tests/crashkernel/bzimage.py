"""Is a file a kernel that an x86 boot loader starts?"""

from pathlib import Path

from kdump_tests.errors import BadInput

# Documentation/arch/x86/boot.rst: the boot sector's mark at 0x1fe, the header's magic at 0x202.
_BOOT_MARK, _MAGIC = (0x1FE, b"\x55\xaa"), (0x202, b"HdrS")
_HEADER = 0x206


def require_bzimage(path: Path) -> None:
    """Nothing, when the file is one.

    Raises:
        BadInput: it is not, or cannot be read.
    """
    try:
        # Opening a FIFO would wait for whoever writes into it.
        if not path.is_file():
            raise BadInput(f"{path} is not a kernel: no such file")
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    if all(head[at : at + len(mark)] == mark for at, mark in (_BOOT_MARK, _MAGIC)):
        return
    if head.startswith(b"\x7fELF"):
        raise BadInput(
            f"{path} is not a bootable x86 kernel but an ELF file", way_out="the vmlinuz beside it"
        )
    raise BadInput(f"{path} is not an x86 kernel", begins_with=repr(head[:16]))
