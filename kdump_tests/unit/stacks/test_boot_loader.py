"""crashkernel= where boot loaders keep it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdump_tests.deadline import Deadline
from kdump_tests.errors import LabError
from kdump_tests.stacks import boot_loader
from kdump_tests.stacks.boot_loader import Grubby, GrubDefaults, GrubSnippet, value_in, with_crashkernel
from kdump_tests.unit.stacks.here import Here

LINE = "GRUB_CMDLINE_LINUX"
VALUES = st.sampled_from(["256M", "1G-4G:192M,4G-:256M", "512M,high crashkernel=72M,low", "auto"])
WORDS = st.lists(st.sampled_from(["quiet", "rhgb", "root=/dev/vda", "rd.lvm.lv=a/b", "xcrashkernel=1M"]))


def until() -> Deadline:
    return Deadline.after(10, "it is done")


@given(WORDS, VALUES, st.none() | VALUES, st.sampled_from("'\""))
def test_another_value_takes_the_place_of_what_was_there(
    words: list[str], before: str, after: str | None, quote: str
) -> None:
    text = f"GRUB_TIMEOUT=5\n{LINE}={quote}crashkernel={before} {' '.join(words)}{quote}\n"
    lines = with_crashkernel(text, LINE, after).splitlines()
    assert lines[0] == "GRUB_TIMEOUT=5"
    assert value_in(lines[1].replace("'", " ").replace("=", "= ", 1)) == after
    assert lines[1].count("quiet") == words.count("quiet")
    assert lines[1].count("xcrashkernel=1M") == words.count("xcrashkernel=1M")


@pytest.mark.parametrize("line", [f'{LINE}="a\\', f"{LINE}=$(cat /etc/x)'", f'{LINE}="a" b'])
def test_what_is_not_understood_is_not_touched(line: str) -> None:
    with pytest.raises(LabError, match="not understood"):
        with_crashkernel(f"{line}\n", LINE, "256M")


def test_a_variable_that_is_not_there_is_added() -> None:
    assert with_crashkernel("A=1\n", LINE, "256M") == f"A=1\n{LINE}=crashkernel=256M\n"


def test_grubs_defaults_are_written_and_made_into_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = tmp_path / "grub"
    defaults.write_text(f'{LINE}="rhgb quiet crashkernel=auto"\n')
    monkeypatch.setattr(boot_loader, "_DEFAULTS", str(defaults))
    here = Here(tmp_path)
    here.has("grub2-mkconfig")
    shell: Any = here
    loader = GrubDefaults(LINE, ("grub2-mkconfig", "-o", "/boot/grub2/grub.cfg"))
    assert loader.reserved(shell, until()) == "auto"
    loader.reserve(shell, "512M,high crashkernel=72M,low", until())
    assert here.calls == ["grub2-mkconfig -o /boot/grub2/grub.cfg"]
    assert loader.reserved(shell, until()) == "512M,high crashkernel=72M,low"
    loader.reserve(shell, None, until())
    assert defaults.read_text() == f"{LINE}='rhgb quiet'\n"
    assert loader.reserved(shell, until()) is None


def test_debians_snippet_holds_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_loader, "_DEFAULTS", str(tmp_path / "grub"))
    here = Here(tmp_path)
    here.has("update-grub")
    shell: Any = here
    snippet = GrubSnippet(str(tmp_path / "kdump-tools.cfg"))
    snippet.reserve(shell, "1G-:256M", until())
    assert snippet.reserved(shell, until()) == "1G-:256M"
    snippet.reserve(shell, None, until())
    assert snippet.reserved(shell, until()) is None
    assert here.calls == ["update-grub", "update-grub"]


@pytest.mark.parametrize("value", ["512M", "1G-:256M", "256M@64M", "512M,high crashkernel=72M,low", None])
def test_debians_value_is_the_only_one_of_all_that_update_grub_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    grub, snippets = tmp_path / "grub", tmp_path / "grub.d"
    snippets.mkdir()
    grub.write_text(
        'GRUB_CMDLINE_LINUX_DEFAULT="quiet crashkernel=1G"\n'
        'GRUB_CMDLINE_LINUX="console=ttyS0 crashkernel=512M,high crashkernel=72M,low"\n'
    )
    (snippets / "zz.cfg").write_text(
        'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=2G panic=5"\n'
    )
    monkeypatch.setattr(boot_loader, "_DEFAULTS", str(grub))
    here = Here(tmp_path)
    # 10_linux puts the two variables one after the other.
    script = f'. {grub}; for file in {snippets}/*.cfg; do . "$file"; done\n'
    here.has(
        "update-grub",
        script=f'{script} echo "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT" >> {tmp_path}/out',
    )
    shell: Any = here
    for _ in range(2):
        GrubSnippet(str(snippets / "kdump-tools.cfg")).reserve(shell, value, until())
    words = [] if value is None else f"crashkernel={value}".split()
    assert [line.split() for line in (tmp_path / "out").read_text().splitlines()] == [
        ["console=ttyS0", "quiet", *words, "panic=5"]
    ] * 2


def test_grubby_takes_out_before_it_puts_in(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.has("grubby", script="""echo 'index=0'; echo 'args="ro crashkernel=1G-4G:192M,4G-:256M quiet"'""")
    shell: Any = here
    Grubby().reserve(shell, "256M", until())
    Grubby().reserve(shell, None, until())
    assert here.calls == [
        "grubby --update-kernel=ALL --remove-args=crashkernel",
        "grubby --update-kernel=ALL --args=crashkernel=256M",
        "grubby --update-kernel=ALL --remove-args=crashkernel",
    ]
    assert Grubby().reserved(shell, until()) == "1G-4G:192M,4G-:256M"


def test_of_two_lines_the_last_one_counts() -> None:
    text = f'{LINE}="crashkernel=1G"\n{LINE}="quiet"\n'
    assert with_crashkernel(text, LINE, "256M").splitlines() == [
        f'{LINE}="crashkernel=1G"',
        f"{LINE}='quiet crashkernel=256M'",
    ]
