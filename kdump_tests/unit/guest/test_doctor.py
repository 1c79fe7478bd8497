"""What the doctor says of emulators that few need."""

from pathlib import Path

import pytest

from kdump_tests.guest import doctor
from kdump_tests.guest.doctor import Finding


def test_emulator_that_is_missing_is_told_and_nothing_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor._emulator("arm64", "qemu-system-aarch64")
    assert finding.state == "not installed, so no arm64 kernel can be probed (package qemu-system-arm)"
    assert finding.good


def test_emulator_that_is_there_says_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qemu-system-ppc64").write_text("#!/bin/sh\necho QEMU emulator version 7.2\n")
    (tmp_path / "qemu-system-ppc64").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor._emulator("ppc64le", "qemu-system-ppc64")
    assert finding == Finding("qemu-system-ppc64", "QEMU emulator version 7.2")
