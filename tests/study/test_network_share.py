from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
from study_factory import decide

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import StudyError, StudyReadOnlyError
from napari_ssl.study import Study, network_share
from napari_ssl.study.network_share import network_file_system

Mount = namedtuple("Mount", "device mountpoint fstype opts")


@pytest.fixture
def mounts(monkeypatch):
    """The table of mounts as a list that a test fills."""
    table = [Mount("/dev/sda1", "/", "ext4", "rw")]
    monkeypatch.setattr(network_share.psutil, "disk_partitions", lambda all: table)
    return table


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "lustre"])
def test_the_deepest_mount_above_a_folder_tells_its_kind(mounts: list, tmp_path: Path, kind: str):
    assert network_file_system(tmp_path / "not" / "there" / "yet") is None
    mounts.append(Mount("server:/x", str(tmp_path), kind, "rw"))
    assert network_file_system(tmp_path / "study") == kind
    mounts.append(Mount("/dev/sdb1", str(tmp_path / "local"), "xfs", "rw"))
    (tmp_path / "local").mkdir()
    assert network_file_system(tmp_path / "local" / "study") is None


def test_a_local_fuse_and_a_share_elsewhere_do_not_matter(mounts: list, tmp_path: Path):
    mounts += [Mount("x", str(tmp_path), "fuse.gocryptfs", "rw"), Mount("s:/", str(tmp_path / "b"), "nfs", "rw")]
    assert network_file_system(tmp_path / "bc") is None


def test_sqlite_on_a_share_is_refused_and_nothing_is_made(mounts: list, tmp_path: Path):
    mounts.append(Mount("server:/x", str(tmp_path), "nfs", "rw"))
    with pytest.raises(StudyError, match=r"network share \(nfs\).*local disk.*--database postgresql://"):
        Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"])
    assert not list((tmp_path / "s").glob("study.*"))


def test_a_study_that_was_moved_to_a_share_opens_for_reading_alone(study: Study, mounts: list):
    study.record(decide(study.reference("p0")))
    study.close()
    mounts.append(Mount("server:/x", str(study.folder), "smb3", "rw"))
    with pytest.raises(StudyError, match=r"network share \(smb3\)"):
        Study.open(study.folder)
    with Study.open(study.folder, read_only=True) as reading:
        assert len(reading.decisions()) == 1
        with pytest.raises(StudyReadOnlyError):
            reading.record(decide(reading.reference("p0")))
