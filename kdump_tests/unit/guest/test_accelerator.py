"""Which accelerator works is found out by booting a kernel, once per boot of the host."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kdump_tests.crashkernel.probe import ProbeLog
from kdump_tests.deadline import Deadline
from kdump_tests.errors import HypervisorError
from kdump_tests.guest import accelerator as accelerators
from kdump_tests.guest.accelerator import REFERENCE_SECONDS, Accelerator, choose

KERNEL = Path("/cache/built/vmlinuz")
Host = Callable[..., None]


def booted(seconds: float | None, stderr: str = "") -> ProbeLog:
    return ProbeLog(("Linux version 6.1",), seconds, seconds, stderr, None)


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accelerators that were tried, in order."""
    return []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, boots: list[str]) -> Host:
    """Lets a kernel boot so under TCG and KVM."""

    def behaves(*, tcg: ProbeLog, kvm: ProbeLog | None) -> None:
        def boot_log(_kernel: Path, *, accelerator: str, stop: re.Pattern[str], **_: object) -> ProbeLog:
            boots.append(accelerator)
            log = {"tcg": tcg, "kvm": kvm}[accelerator]
            assert log, "there is no such device"
            return log

        exists = Path.exists
        monkeypatch.setattr(accelerators, "boot_log", boot_log)
        monkeypatch.setattr(
            Path, "exists", lambda path: kvm is not None if path == Path("/dev/kvm") else exists(path)
        )

    return behaves


def test_kvm_is_taken_where_a_kernel_boots_under_it(host: Host, tmp_path: Path) -> None:
    host(tcg=booted(5), kvm=booted(0.5))
    assert choose("auto", KERNEL, tmp_path) == Accelerator("kvm", "a kernel boots under KVM", 0.25)


def test_without_the_device_tcg_is_taken(host: Host, tmp_path: Path) -> None:
    host(tcg=booted(REFERENCE_SECONDS), kvm=None)
    chosen = choose("auto", KERNEL, tmp_path)
    assert (chosen.name, chosen.factor) == ("tcg", 1.0)
    assert chosen.because == "KVM does not work here: there is no /dev/kvm"


def test_device_under_which_no_kernel_prints_a_line_is_none(host: Host, tmp_path: Path) -> None:
    host(tcg=booted(2 * REFERENCE_SECONDS), kvm=booted(None))
    chosen = choose("auto", KERNEL, tmp_path)
    assert (chosen.name, chosen.factor) == ("tcg", 2.0)
    assert "a kernel prints nothing in 15 s" in chosen.because


def test_qemus_own_words_say_why_kvm_does_not_work(host: Host, tmp_path: Path) -> None:
    host(
        tcg=booted(5), kvm=booted(None, "qemu: warning\nqemu: failed to initialize kvm: Permission denied\n")
    )
    assert choose("auto", KERNEL, tmp_path).because.endswith("failed to initialize kvm: Permission denied")


def test_kvm_that_was_asked_for_and_does_not_work_is_an_error(host: Host, tmp_path: Path) -> None:
    host(tcg=booted(5), kvm=None)
    with pytest.raises(HypervisorError, match="KVM does not work here") as failure:
        choose("kvm", KERNEL, tmp_path)
    assert failure.value.facts["reason"] == "there is no /dev/kvm"
    assert "--accel tcg" in failure.value.facts["way out"]


def test_tcg_that_was_asked_for_is_taken_without_a_look_at_kvm(
    host: Host, tmp_path: Path, boots: list[str]
) -> None:
    host(tcg=booted(5), kvm=booted(0.5))
    assert choose("tcg", KERNEL, tmp_path).name == "tcg"
    assert boots == ["tcg"]


def test_kernel_that_boots_under_nothing_is_an_error_with_its_last_lines(host: Host, tmp_path: Path) -> None:
    host(tcg=booted(None, "no such machine"), kvm=None)
    with pytest.raises(HypervisorError, match="a kernel does not boot under tcg") as failure:
        choose("auto", KERNEL, tmp_path)
    assert failure.value.facts["last lines"] == "Linux version 6.1"
    assert failure.value.facts["qemu said"] == "no such machine"


def test_answer_is_found_out_once(host: Host, tmp_path: Path, boots: list[str]) -> None:
    host(tcg=booted(5), kvm=None)
    assert choose("auto", KERNEL, tmp_path) == choose("auto", KERNEL, tmp_path)
    assert boots == ["tcg"]


def test_another_question_is_another_answer(host: Host, tmp_path: Path, boots: list[str]) -> None:
    host(tcg=booted(5), kvm=booted(0.5))
    assert [choose(name, KERNEL, tmp_path).name for name in ("auto", "tcg", "auto")] == ["kvm", "tcg", "kvm"]
    assert boots == ["kvm", "kvm", "tcg"]


def test_answer_of_an_earlier_boot_is_forgotten(host: Host, tmp_path: Path) -> None:
    earlier = tmp_path / "host" / "0b1e-earlier.json"
    earlier.parent.mkdir()
    earlier.write_text("{}")
    host(tcg=booted(5), kvm=None)
    choose("auto", KERNEL, tmp_path)
    assert not earlier.exists()


def test_deadline_is_stretched_by_the_speed_of_the_host() -> None:
    left = Accelerator("tcg", "", 3.0).deadline(100, "it boots").left
    assert left == pytest.approx(Deadline.after(300, "it boots").left, abs=1)
