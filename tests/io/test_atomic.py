from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from moframework.io.atomic import PREFIX, atomic_write, move_into_place, remove_leftovers, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_text_and_bytes_exactly(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "λ\r\n1\n")
    write_bytes(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "a.txt").read_bytes() == "λ\r\n1\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a.txt", "b.bin"]


def test_replaces_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    write_text(path, "a longer first version")
    write_text(path, "second")
    assert path.read_text() == "second"


def test_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("x")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_writer_with_other_permissions_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("x")
    with atomic_write(tmp_path / "ours.safetensors") as temporary:
        save_file({"x": torch.zeros(2)}, temporary)  # 0.8.0 leaves 0600
    with atomic_write(tmp_path / "closed") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o600)
    for name in ("ours.safetensors", "closed"):
        assert (tmp_path / name).stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_crash_between_write_and_replace_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    write_text(path, "old")
    seen: list[str] = []

    def crash(self: Path, target: Path) -> Path:
        seen.append(self.read_text())
        raise OSError("the disk went away")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(OSError, match="went away"):
            write_text(path, "new")
    assert seen == ["new"], "the crash must come after the new content was written"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["last.safetensors"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_error_while_writing_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "front.png"

    def draw() -> None:
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".png"
            assert temporary.parent == tmp_path
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        draw()
    assert names(tmp_path) == []


def test_error_before_the_first_byte(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), atomic_write(tmp_path / "a"):
        raise ValueError("early")
    assert names(tmp_path) == []


def test_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_text(tmp_path / "nowhere" / "a", "x")


def test_content_is_on_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor: int) -> None:
        events.append("fsync")
        fsync(descriptor)

    def spy_replace(self: Path, target: Path) -> Path:
        events.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_text(tmp_path / "a", "x")
    assert events[:2] == ["fsync", "replace"]


def test_killed_process_leaves_a_file_that_is_found_and_removed(tmp_path: Path) -> None:
    write_text(tmp_path / "last", "old")
    script = (
        "import os, sys; from pathlib import Path; from moframework.io.atomic import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as t: t.write_text('half'); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "last")], check=False)
    assert killed.returncode == 9
    assert (tmp_path / "last").read_text() == "old"
    assert len(names(tmp_path)) == 2
    removed = remove_leftovers(tmp_path)
    assert [path.name.endswith("-last") for path in removed] == [True]
    assert names(tmp_path) == ["last"]
    assert remove_leftovers(tmp_path) == ()


def test_what_was_made_takes_a_place(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_text("new")
    (tmp_path / "old").write_text("old")
    move_into_place(tmp_path / "made" / "file", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    (tmp_path / "empty").mkdir()
    move_into_place(tmp_path / "made", tmp_path / "empty")
    assert names(tmp_path) == ["empty", "old"]


def test_folders_that_were_left_are_removed_too(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}1-2"
    (left / f"{PREFIX}inside").mkdir(parents=True)
    (left / "file").write_text("half")
    assert left in remove_leftovers(tmp_path)
    assert names(tmp_path) == []
