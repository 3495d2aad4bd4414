from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_ssl.phantom import SAMPLE_SIZE, make_sample_member, write_sample_study_files

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"


def _pixels(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled and an unlabelled subject of the cohort."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample_study_files(folder, indices=[0, SAMPLE_SIZE - 1])
    return folder


def test_sample_data_is_what_the_program_writes(written: Path) -> None:
    for path in sorted(written.rglob("*.nii.gz")):
        stored, made = _pixels(SAMPLE_DATA / path.relative_to(written)), _pixels(path)
        assert stored.shape == made.shape
        # Rounding may differ in the last bit between processors and flip single pixels.
        assert (stored != made).mean() < 1e-4, path.name
    truth = [json.loads((folder / "truth" / "truth.json").read_text()) for folder in (written, SAMPLE_DATA)]
    for name, volumes in truth[0].items():
        for structure, ml in volumes["volume_ml"].items():
            np.testing.assert_allclose(truth[1][name]["volume_ml"][structure], ml, rtol=1e-5)


def test_sample_data_is_complete_and_small() -> None:
    with (SAMPLE_DATA / "cases.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    labelled = {p.parent.name for p in SAMPLE_DATA.glob("*/*_gt.nii.gz")}
    by_split = {s: [r["patient"] for r in rows if r["split"] == s] for s in ("train", "val", "test")}
    assert len(rows) == SAMPLE_SIZE
    assert len(labelled & set(by_split["train"])) >= 4
    assert len(set(by_split["train"]) - labelled) >= 10
    assert set(by_split["test"]) <= labelled
    assert len(by_split["test"]) >= 4
    assert len(by_split["val"]) >= 3
    for row in rows:
        name = row["patient"]
        image = SAMPLE_DATA / name / f"{name}_4d.nii.gz"
        assert image.is_file()
        phases = {p.name for p in image.parent.glob("*_gt.nii.gz")}
        expected = {f"{name}_frame{int(row[p]):02d}_gt.nii.gz" for p in ("ed_frame", "es_frame")}
        assert phases == (expected if name in labelled else set())
        assert (SAMPLE_DATA / "truth" / f"{name}.nii.gz").is_file() == (name not in labelled)
    assert sum(p.stat().st_size for p in SAMPLE_DATA.rglob("*") if p.is_file()) <= 12e6


def test_headers_hold_spacing_time_and_an_oblique_orientation(written: Path) -> None:
    member = make_sample_member(0)
    name = member.subject_id
    image = SimpleITK.ReadImage(str(written / name / f"{name}_4d.nii.gz"))
    label = SimpleITK.ReadImage(str(written / name / f"{name}_frame{member.case.ed_frame + 1:02d}_gt.nii.gz"))
    assert image.GetSpacing()[:3] == pytest.approx((2.3, 2.3, 10.0))
    assert image.GetSpacing()[3] * 1000 == pytest.approx(member.case.frame_interval_ms, rel=1e-4)
    assert label.GetOrigin() == pytest.approx(image.GetOrigin()[:3])
    direction = np.array(image.GetDirection()).reshape(4, 4)[:3, :3]
    np.testing.assert_allclose(np.array(label.GetDirection()).reshape(3, 3), direction, atol=1e-5)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-5)
    assert np.abs(direction).max() < 0.95
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(label), member.case.labels[member.case.ed_frame])


def test_writing_twice_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    files = write_sample_study_files(tmp_path, indices=[0])
    for path in (p for p in files if p.name.endswith(".nii.gz")):
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes()


def test_another_seed_gives_other_subjects() -> None:
    assert not np.array_equal(make_sample_member(2, seed=1).case.image, make_sample_member(2, seed=2).case.image)
