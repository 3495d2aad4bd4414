"""DICOM in, DICOM segmentation out: the segmentation lies on the series it came from, and names nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.io.dicom_seg import read_dicom_seg, write_dicom
from napari_ssl.io.dicom_series import SeriesIdentity, derived_series
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.study import Study
from napari_ssl.study.exporting import export_study

SHAPE = (2, 3, 4, 6)
TIMES = [0.0, 31.5]
GEOMETRY = Geometry(
    size_xyz=SHAPE[:0:-1],
    spacing_xyz=(1.25, 1.5, 8.0),
    origin_xyz=(-31.5, 12.25, 77.0),
    direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
    is_4d=True,
)
IMAGE = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.int16)
LABELS = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 4).astype(np.uint8)


@pytest.fixture
def originals(tmp_path: Path) -> dict[tuple[int, int], pydicom.Dataset]:
    """A scanner's cine with a patient's name in it."""
    identity = SeriesIdentity(patient_id="4711", description="cine", key="scanner")
    series = derived_series(IMAGE, GEOMETRY, identity, frames=range(2), frame_times_ms=TIMES)
    (tmp_path / "scan").mkdir()
    for (t, z), picture in series.items():
        picture.PatientName, picture.PatientBirthDate, picture.PatientSex = "Doe^Jane", "19700102", "F"
        picture.ReferringPhysicianName = "House^Gregory"
        write_dicom(tmp_path / "scan" / f"IM{3 * t + 2 - z}", picture)
    return series


def _exported(tmp_path: Path, *, keep_identity: bool) -> tuple[Path, dict, tuple[str, ...]]:
    """Import, label, export; return the case's folder, what the import kept, and the notes."""
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        pseudonyms = Pseudonyms.of_folder(study.folder, keep_identity=keep_identity)
        pseudonyms.store()
        (item,) = scan([tmp_path / "scan"], "dicom", ScanOptions(pseudonyms=pseudonyms))
        assert not study.add_cases([item]).failed
        (case,) = study.cases()
        assert case.shape_tzyx == SHAPE
        version = study.add_segmentation(case.id, LABELS, source=Source.CORRECTED, frames=range(SHAPE[0]), reader="Ada")
        study.record(
            Decision(
                case_id=case.id, verdict=Verdict.CORRECT, reader="Ada", decided_at=datetime.now(UTC), seconds=1.0,
                segmentation_id=version.id, label_hash=version.label_hash,
            )
        )  # fmt: skip
        kept = json.loads(Path(case.image_path).with_name(f"{case.id}.json").read_text())
        report = export_study(study, tmp_path / "out", "dicom-seg")
    return tmp_path / "out" / case.id, kept, report.notes


def test_the_segmentation_lies_on_the_pseudonymised_series(tmp_path, originals):
    folder, kept, _ = _exported(tmp_path, keep_identity=False)
    for frame in range(2):
        path = folder / f"{folder.name}_frame{frame + 1:02d}_seg.dcm"
        found = read_dicom_seg(path)
        np.testing.assert_array_equal(found.labels, LABELS[frame])
        assert GEOMETRY.differs(found.geometry) is None
        seg = pydicom.dcmread(path)
        referred = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert referred == set(kept["sop_instance_uids"][frame])
        assert seg.StudyInstanceUID == kept["study_instance_uid"]
        assert seg.FrameOfReferenceUID == kept["frame_of_reference_uid"]
    for (t, z), original in originals.items():
        picture = pydicom.dcmread(folder / "images" / f"frame{t + 1:02d}_slice{z + 1:02d}.dcm")
        np.testing.assert_array_equal(picture.pixel_array, original.pixel_array)
        np.testing.assert_allclose(picture.ImagePositionPatient, original.ImagePositionPatient, atol=1e-4)
        assert float(picture.TriggerTime) == pytest.approx(TIMES[t])
        assert picture.SOPInstanceUID == kept["sop_instance_uids"][t][z]
    written = "".join(p.read_bytes().decode("latin-1") for p in folder.rglob("*.dcm"))
    for secret in ("Doe", "Jane", "4711", "House", "19700102", originals[0, 0].SOPInstanceUID):
        assert secret not in written


def test_with_the_identity_kept_it_lies_on_the_scanners_own_images(tmp_path, originals):
    folder, _, notes = _exported(tmp_path, keep_identity=True)
    seg = pydicom.dcmread(folder / f"{folder.name}_frame02_seg.dcm")
    referred = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == {originals[1, z].SOPInstanceUID for z in range(3)}
    assert seg.StudyInstanceUID == originals[0, 0].StudyInstanceUID
    assert not (folder / "images").exists()
    assert "refers to the original DICOM images" in notes[0]
    assert "Doe" not in str(seg.PatientName) and not seg.PatientBirthDate
