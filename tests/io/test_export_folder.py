from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_ssl.errors import StorageError
from napari_ssl.io.export_folder import exporting_to


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_appear_together_when_the_export_has_ended(tmp_path):
    out = tmp_path / "a" / "out"
    with exporting_to(out) as target:
        target.write("x.txt", "one")
        target.file("sub/y.bin").write_bytes(b"two")
        assert not (out / "x.txt").exists()
    assert _tree(out) == {"x.txt": b"one", "sub/y.bin": b"two"}


def test_an_export_that_fails_leaves_nothing_behind(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), exporting_to(out) as target:
        target.write("x.txt", "one")
        raise RuntimeError("the second file failed")
    assert not out.exists()


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.txt").write_text("old")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"No space left.*bytes are free"), exporting_to(out, overwrite=True) as t:
        t.write("x.txt", "new")
        monkeypatch.setattr(os, "fsync", full)
        t.write("y.txt", "new")
    assert _tree(out) == {"x.txt": b"old"}


def test_nothing_is_replaced_unasked(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with (
        pytest.raises(StorageError, match=r"x\.txt: exists already.*written.*--force"),
        exporting_to(tmp_path) as target,
    ):
        target.write("other.txt", "1")
        target.write("x.txt", "new")
    assert _tree(tmp_path) == {"x.txt": b"old"}
    with exporting_to(tmp_path, overwrite=True) as target:
        target.write("x.txt", "new")
    assert _tree(tmp_path) == {"x.txt": b"new"}


def test_a_name_that_is_taken_while_the_export_runs_is_not_replaced(tmp_path):
    with pytest.raises(StorageError, match="exists already"), exporting_to(tmp_path) as target:
        target.write("x.txt", "new")
        (tmp_path / "x.txt").write_text("of another program")
    assert _tree(tmp_path) == {"x.txt": b"of another program"}


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "a\\b"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(StorageError, match="leads out of"), exporting_to(tmp_path / "out") as target:
        target.write(name, "1")
    assert _tree(tmp_path) == {}


def test_no_link_leads_out_of_the_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="through a link"), exporting_to(tmp_path / "out", overwrite=True) as target:
        target.write("sub/x.txt", "1")
    assert _tree(tmp_path) == {}


def test_images_and_the_study_are_never_touched(tmp_path):
    image = tmp_path / "image.nii"
    image.write_text("original")
    (tmp_path / "study").mkdir()
    guarded = (image, tmp_path / "study")
    forced = exporting_to(tmp_path, overwrite=True, protected=guarded)
    with pytest.raises(StorageError, match="never changes"), forced as target:
        target.write("image.nii", "new")
    inside = exporting_to(tmp_path / "study" / "x", protected=guarded)
    with pytest.raises(StorageError, match="never changes"), inside:
        pass
    assert image.read_text() == "original" and not (tmp_path / "study" / "x").exists()


def test_the_same_name_twice_is_refused(tmp_path):
    with pytest.raises(StorageError, match="same name"), exporting_to(tmp_path / "out") as target:
        target.write("x", "1")
        target.write("x", "2")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("file")
    with pytest.raises(StorageError, match="is a file; choose a folder"), exporting_to(tmp_path / "out"):
        pass


_DYING = """
import sys
from napari_ssl.io.export_folder import exporting_to

with exporting_to(sys.argv[1]) as target:
    target.write("half.txt", "half")
    print("ready", flush=True)
    {end}
"""


def _export_elsewhere(out: Path, end: str) -> subprocess.Popen:
    """Export in another process, which does `end` in the middle of it."""
    command = [sys.executable, "-c", _DYING.replace("{end}", end), str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_export_left_is_swept_by_the_next(tmp_path):
    out = tmp_path / "out"
    with _export_elsewhere(out, "sys.stdin.readline()") as process:
        process.kill()
        assert process.wait() != 0
    assert [p.name for p in out.rglob("half.txt")] == ["half.txt"]
    with exporting_to(out) as target:
        target.write("x.txt", "one")
    assert _tree(out) == {"x.txt": b"one"}
    assert [p.name for p in out.iterdir()] == ["x.txt"]


def test_an_export_that_runs_is_left_alone(tmp_path):
    out = tmp_path / "out"
    with _export_elsewhere(out, "sys.stdin.readline()") as process:
        with exporting_to(out) as target:
            target.write("x.txt", "one")
        process.communicate("go on\n")
        assert process.returncode == 0
    assert _tree(out) == {"x.txt": b"one", "half.txt": b"half"}
    assert sorted(p.name for p in out.iterdir()) == ["half.txt", "x.txt"]


def test_a_folder_that_cannot_be_made_is_named_itself(tmp_path, monkeypatch):
    def refused(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StorageError) as error, exporting_to(tmp_path / "out"):
        pass
    assert str(error.value).startswith(f"{tmp_path / 'out'}: could not be written whole (Permission denied)")


def test_a_file_that_could_not_be_written_is_named_as_it_was_to_be_called(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_ssl.io.atomic.os.open", full)
    with pytest.raises(StorageError) as error, exporting_to(tmp_path / "out") as target:
        target.write("case1/x.txt", "one")
    assert str(error.value).startswith(f"{tmp_path / 'out' / 'case1' / 'x.txt'}: could not be written whole (No space")
