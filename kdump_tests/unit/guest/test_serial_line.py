"""What is typed reaches whoever reads the line, after the BREAK, and nothing stays behind."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import HypervisorError
from kdump_tests.guest.hypervisor import Domain
from kdump_tests.guest.serial_line import type_after_break


class Listening(Domain):
    """A machine whose character device opens the pipe that it is told of, as QEMU's does."""

    told: list[str]
    keys: int

    def ask_qemu(self, command: str, arguments: Mapping[str, Any], until: Deadline) -> None:
        self.__dict__.setdefault("told", []).append(command)
        if command == "chardev-change":
            self.__dict__["file"] = file = arguments["backend"]["data"]
            self.__dict__["keys"] = os.open(file["in"], os.O_RDONLY | os.O_NONBLOCK)


class Refusing(Domain):
    """A machine whose QEMU knows no such command."""

    def ask_qemu(self, command: str, arguments: Mapping[str, Any], until: Deadline) -> None:
        raise HypervisorError(f"QEMU refuses {command}")


def test_the_key_comes_after_the_break_and_the_record_goes_on(tmp_path: Path) -> None:
    domain, record = Listening("story", None), tmp_path / "console.log"
    type_after_break(domain, record, "c", Deadline.after(10, "it is typed"))
    with os.fdopen(domain.keys, "rb") as keys:
        assert keys.read() == b"c"
    assert domain.told == ["chardev-change", "chardev-send-break"]
    file = vars(domain)["file"]
    assert (file["out"], file["append"]) == (str(record), True)
    assert not Path(file["in"]).exists()


def test_a_qemu_that_refuses_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="chardev-change"):
        type_after_break(Refusing("story", None), tmp_path / "log", "c", Deadline.after(10, "it is typed"))
