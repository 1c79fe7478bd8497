"""What is kept between runs is whole or not there, whoever else is at work."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, DeadlineExpired, LabError, NoSpace
from kdump_tests.guest.cache import (
    abandoned,
    default_cache,
    locked,
    publish,
    remove_tree,
    require_space,
    staging,
)
from kdump_tests.steps import Step, listening
from kdump_tests.unit.guest.others import python, said

HOLDER = """
import sys
from pathlib import Path
from kdump_tests.deadline import Deadline
from kdump_tests.guest.cache import locked
with locked(Path(sys.argv[1]), Deadline.after(10, "the lock is free")):
    print("held", flush=True)
    sys.stdin.readline()
"""


def soon() -> Deadline:
    return Deadline.after(10, "the lock is free")


def test_lock_keeps_others_out_until_the_deadline(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "image.lock"
    with python(HOLDER, lock) as other:
        assert said(other) == "held"
        with pytest.raises(DeadlineExpired) as refusal, locked(lock, Deadline.after(0.1, "it is free")):
            pass
        assert refusal.value.facts["lock"] == str(lock)


def test_free_lock_is_taken_without_a_word(tmp_path: Path) -> None:
    heard: list[Step] = []
    with listening(heard.append), locked(tmp_path / "image.lock", soon()):
        assert heard == []


def test_lock_is_taken_once_the_other_process_releases_it(tmp_path: Path) -> None:
    with python(HOLDER, tmp_path / "image.lock") as other:
        assert said(other) == "held"
        let_go = threading.Timer(0.2, other.communicate, ["go on\n"])
        let_go.start()
        with locked(tmp_path / "image.lock", soon()):
            let_go.join()


def test_wait_for_another_process_is_a_step(tmp_path: Path) -> None:
    heard: list[Step] = []
    with python(HOLDER, tmp_path / "image.lock") as other, listening(heard.append):
        assert said(other) == "held"
        with pytest.raises(DeadlineExpired), locked(tmp_path / "image.lock", Deadline.after(0.1, "free")):
            pass
    assert [(step.subject, step.what) for step in heard] == [("image", "waiting for another process")] * 2


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with python(HOLDER, tmp_path / "image.lock") as other:
        assert said(other) == "held"
        other.kill()
        with locked(tmp_path / "image.lock", soon()):
            pass


def test_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError), locked(tmp_path / "image.lock", soon()):
        raise LabError("no")
    with locked(tmp_path / "image.lock", Deadline.after(0, "at once")):
        pass


def test_staging_folder_is_gone_at_the_end(tmp_path: Path) -> None:
    def fail_amid_the_work() -> None:
        with staging(tmp_path / "images" / "story") as folder:
            (folder / "half").touch()
            assert [found for found, _ in abandoned(tmp_path)] == [folder]
            raise LabError("no")

    with pytest.raises(LabError):
        fail_amid_the_work()
    assert abandoned(tmp_path) == ()


def test_staging_folder_begins_empty_whatever_a_killed_process_left(tmp_path: Path) -> None:
    left = tmp_path / ".staging" / "half"
    left.mkdir(parents=True)
    with staging(tmp_path) as folder:
        assert list(folder.iterdir()) == []


def test_published_folder_is_there_whole_and_staging_is_not(tmp_path: Path) -> None:
    with staging(tmp_path) as folder:
        (folder / "disk").write_text("whole")
        publish(folder, tmp_path / "goal")
    assert [path.name for path in tmp_path.iterdir()] == ["goal"]
    assert (tmp_path / "goal" / "disk").read_text() == "whole"


def test_tree_is_removed_but_not_what_its_links_point_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "tree" / "branch").mkdir(parents=True)
    (tmp_path / "tree" / "branch" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "tree" / "dangling").symlink_to("nowhere")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "tree")


@pytest.fixture(params=["", "branch"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A tree with something mounted at it, or in it."""
    place = tmp_path / "tree" / request.param
    place.mkdir(parents=True)
    command = ["mount", "--types", "tmpfs", "--options", "size=64k", "none", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    (place / "kept").touch()
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_tree_with_a_mount_point_is_not_touched(tmp_path: Path, mounted: Path) -> None:
    with pytest.raises(LabError, match="is a mount point") as refusal:
        remove_tree(tmp_path / "tree")
    assert refusal.value.facts["way out"] == f"umount {mounted}"
    assert (mounted / "kept").exists()


def test_tree_that_may_not_be_removed_is_the_laboratorys_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(LabError, match="cannot be removed") as refusal:
        remove_tree(tmp_path)
    assert refusal.value.facts["reason"] == "not yours"


def test_space_is_looked_for_where_the_folder_will_be(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet", 1, "a story")


def test_full_disk_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="not enough disk space for a story") as refusal:
        require_space(tmp_path / "not" / "yet", 1 << 62, "a story")
    assert "KDUMP_VERIFY_CACHE" in refusal.value.facts["way out"]


def test_user_may_choose_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDUMP_VERIFY_CACHE", "somewhere")
    assert default_cache() == Path.cwd() / "somewhere"


def test_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDUMP_VERIFY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert default_cache() == Path("/somewhere/else/kdump-verify")


def test_cache_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BadInput, match="cannot be made") as refused,
        locked(tmp_path / "file" / "locks" / "a.lock", Deadline.after(1, "the lock")),
    ):
        pytest.fail("nothing can be locked there")
    assert "KDUMP_VERIFY_CACHE" in refused.value.facts["way out"]
