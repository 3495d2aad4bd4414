from __future__ import annotations

import errno
from pathlib import Path

import pytest

from napari_ssl.errors import StorageError, StudyError
from napari_ssl.study import storage


def test_files_inside_are_found(tmp_path: Path):
    assert storage.inside(tmp_path, "labels/p0/x..y.nii.gz") == tmp_path / "labels/p0/x..y.nii.gz"


@pytest.mark.parametrize("path", ["..", "a/../../b", "/a", "", ".", "a\\b", "a\0b"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str):
    with pytest.raises(StudyError, match=r"leaves the study folder"):
        storage.inside(tmp_path, path)


def test_a_link_within_the_study_is_allowed_and_one_that_leads_out_is_not(tmp_path: Path):
    study = tmp_path / "study"
    (study / "labels").mkdir(parents=True)
    (study / "in").symlink_to(study / "labels")
    (study / "out").symlink_to(tmp_path)
    assert storage.inside(study, "in/x") == study / "in/x"
    with pytest.raises(StudyError, match=r"symbolic link out of the study"):
        storage.inside(study, "out/x")


@pytest.mark.parametrize("link", [True, False])
def test_a_placed_file_is_a_copy_and_the_source_stays(tmp_path: Path, link: bool):
    source, target = tmp_path / "source", tmp_path / "deep" / "er" / "target"
    source.write_bytes(b"x" * 1000)
    storage.place_file(source, target, link=link)
    assert target.read_bytes() == source.read_bytes()
    assert target.samefile(source) is link
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_a_link_that_cannot_be_becomes_a_copy(tmp_path: Path, monkeypatch):
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(storage.os, "link", refuse)
    (tmp_path / "source").write_bytes(b"x")
    storage.place_file(tmp_path / "source", tmp_path / "target", link=True)
    assert (tmp_path / "target").read_bytes() == b"x"


def test_a_copy_that_finds_no_space_leaves_the_old_file(tmp_path: Path, monkeypatch):
    def no_space(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")
    monkeypatch.setattr(storage.shutil, "copyfile", no_space)
    with pytest.raises(StorageError, match=r"target: could not be written whole \(No space left"):
        storage.place_file(tmp_path / "source", tmp_path / "target")
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir()) == [("source", b"new"), ("target", b"old")]
