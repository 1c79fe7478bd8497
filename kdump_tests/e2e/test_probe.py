"""A real kernel is asked what it keeps aside, and the evaluation must have known."""

import json
from pathlib import Path

import pytest

from kdump_tests.cli import main
from kdump_tests.crashkernel.matrix import probe
from kdump_tests.e2e.random_settings import draw_foretold
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.image import BuiltImage
from kdump_tests.sizes import GIB, MIB


def test_kernel_agrees_at_every_boundary_of_the_rule_of_thumb(
    image: BuiltImage, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", f"--image={image.image.name}", "--policy=rhel8-rule-of-thumb", "--json"]
    assert main([*words, "--memory=boundaries"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["agrees"] for row in rows} == {True}
    assert (rows[0]["memory"], rows[-1]["memory"]) == (512 * MIB, 16 << 40)
    low = {row["memory"]: row["reserved"]["low"] for row in rows}
    assert low[8 * GIB] == 0
    assert low[64 * GIB] == 256 * MIB


def test_kernel_of_a_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "holiday.jpg"
    picture.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000))
    assert main(["probe", f"--kernel={picture}", "--crashkernel=256M", "--memory=1G"]) == 64
    assert "holiday.jpg is not a kernel" in capsys.readouterr().err


# 1920M is a multiple of 128M already, 1921M is rounded up to 2G before 2G-:448M is looked at. 3 GiB of
# QEMU's virt lie below 4 GiB, where 448M surely fit: no low memory comes on top.
def test_arm64_kernel_reserves_what_rhel_9_asks_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    memory = "--memory=512M,1920M,1921M,4G,16G"
    assert main(["probe", "--image=debian-12-arm64", "--policy=rhel9", memory, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["reserved"]["main"] for row in rows] == [0, 0, 448 * MIB, 448 * MIB, 448 * MIB]
    assert {(row["reserved"]["low"], row["agrees"]) for row in rows} == {(0, True)}


# More than 100 in all: few that are drawn cannot be foretold. benchmarks/differential.py draws 5,000.
@pytest.mark.parametrize("name", ["debian-12", "debian-13-kernel", "debian-sid-kernel"])
def test_kernel_agrees_on_whatever_is_asked(name: str) -> None:
    image = ImageStore(default_cache()).get(name)
    assert image.kernel is not None
    answers = list(probe(image.kernel, draw_foretold(40, image), "tcg"))
    assert [answer for answer in answers if answer.agrees is False] == []
    assert any(answer.agrees and answer.said.reservation.main for answer in answers)
