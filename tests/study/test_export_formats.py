"""What other programs get: each format is read back by another library, or by the rules that its program states."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from rocrate.rocrate import ROCrate
from study_factory import GEOMETRY, SHAPE, decide, make_labels, make_model, propose

from napari_ssl.core.case import Split
from napari_ssl.core.decision import PlaceVerdict, Verdict
from napari_ssl.core.export import FORMATS, ExportOptions
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import LabelError, NapariSslError, StorageError, StudyError
from napari_ssl.io.dicom_seg import read_dicom_seg
from napari_ssl.io.images import read_image, read_labels
from napari_ssl.study import Study
from napari_ssl.study.export_nnunet import subject_folds
from napari_ssl.study.export_run import ExportItem
from napari_ssl.study.exporting import export_study

ALL = tuple(range(SHAPE[0]))
EVERYTHING = ExportOptions(states=("all",))


@pytest.fixture
def reviewed(study: Study, tmp_path: Path) -> Study:
    """p0 accepted, p1 corrected, p2 rejected; p0 … p4 have expert labels at frames 0 and 2."""
    model = make_model(study, tmp_path / "m1")
    accepted = propose(study, "p0", 0, confidence=np.full(SHAPE, 200, np.uint8))
    study.record(decide(accepted, Verdict.ACCEPT))
    study.set_phases("p1", 0, 2)
    corrected = study.add_segmentation("p1", make_labels(3, ALL), source=Source.CORRECTED, frames=ALL, reader="Ada")
    study.record(decide(corrected, Verdict.CORRECT))
    study.record(decide(propose(study, "p2", 0), Verdict.REJECT, comment="basal"))
    assert model.round == 1
    return study


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _everything_written(folder: Path) -> str:
    """All bytes as text, compressed files and names included."""
    import gzip

    parts = []
    for path in folder.rglob("*"):
        parts.append(path.name)
        if path.is_file():
            content = path.read_bytes()
            parts.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1"))
    return "\n".join(parts)


# -- nnU-Net --------------------------------------------------------------------------------------------------------


def _check_as_nnunet(folder: Path) -> list[str]:
    """Check the rules of nnU-Net v2's ``verify_dataset_integrity``; return the names of the training cases."""
    document = json.loads((folder / "dataset.json").read_text())
    labels, ending = document["labels"], document["file_ending"]
    assert labels["background"] == 0 and sorted(labels.values()) == list(range(len(labels)))
    channels = sorted(int(c) for c in document["channel_names"])
    assert channels == list(range(len(channels)))
    names = sorted(p.name[: -len(ending)] for p in (folder / "labelsTr").iterdir())
    assert len(names) == document["numTraining"]
    images = sorted(p.name for p in (folder / "imagesTr").iterdir())
    assert images == sorted(f"{n}_{c:04d}{ending}" for n in names for c in channels)
    for name in names:
        label = nibabel.load(folder / "labelsTr" / f"{name}{ending}")
        image = nibabel.load(folder / "imagesTr" / f"{name}_0000{ending}")
        assert label.shape == image.shape and label.ndim == 3
        np.testing.assert_allclose(label.affine, image.affine)
        assert set(np.unique(np.asanyarray(label.dataobj))) <= set(labels.values())
        assert np.isfinite(np.asanyarray(image.dataobj)).all()
    return names


def test_nnunet_finds_a_data_set_that_keeps_its_rules(reviewed: Study, tmp_path: Path):
    options = ExportOptions(states=("all",), n_folds=2, dataset_id=7)
    report = export_study(reviewed, tmp_path / "out", "nnunet", options)
    folder = tmp_path / "out" / "Dataset007_Tiny"
    names = _check_as_nnunet(folder)
    training = [c for c in reviewed.cases() if c.split is not Split.TEST and reviewed.current(c.id)]
    assert names == sorted(f"{c.id}_frame{f + 1:02d}" for c in training for f in reviewed.current(c.id).frames)
    assert any("splits_final.json" in note for note in report.notes)
    some = next(c for c in training if reviewed.current(c.id).source is Source.REFERENCE)
    image = read_image(folder / "imagesTr" / f"{some.id}_frame03_0000.nii.gz")
    np.testing.assert_array_equal(image.data[0], read_image(some.image_path).data[2])
    tests = [c.id for c in reviewed.cases(split=Split.TEST) if reviewed.current(c.id)]
    found = {p.name.split("_frame")[0] for p in (folder / "imagesTs").iterdir()} if tests else set()
    assert found == set(tests) and not any(name.startswith(tuple(tests or ["none"])) for name in names)


def test_no_subject_is_on_both_sides_of_a_fold(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "out", "nnunet", ExportOptions(states=("all",), n_folds=3))
    folds = json.loads((tmp_path / "out" / "Dataset001_Tiny" / "splits_final.json").read_text())
    names = _check_as_nnunet(tmp_path / "out" / "Dataset001_Tiny")
    assert len(folds) == 3
    for fold in folds:
        sides = [{name.split("_frame")[0] for name in fold[side]} for side in ("train", "val")]
        assert not sides[0] & sides[1] and all(sides)
        assert sorted(fold["train"] + fold["val"]) == names
    assert sorted(n for fold in folds for n in fold["val"]) == names


def test_cases_of_one_subject_stay_together():
    def item(case: str, subject: str, split: Split) -> ExportItem:
        from types import SimpleNamespace

        return SimpleNamespace(case=SimpleNamespace(id=case, subject_id=subject, split=split))

    twins = [item(f"{s}{n}", s, Split.TRAIN) for s in "abc" for n in range(3)]
    for fold in subject_folds(twins, 0):
        assert {c[0] for c in fold["train"]} & {c[0] for c in fold["val"]} == set()
        assert len(fold["train"]) == 6 and len(fold["val"]) == 3
    own = [item("a1", "a", Split.TRAIN), item("b1", "b", Split.VALIDATION)]
    assert subject_folds(own, 0) == [{"train": ["a1"], "val": ["b1"]}]
    assert subject_folds(own[:1], 0) == []


def test_nnunet_refuses_gaps_and_takes_a_relabelling_that_was_asked_for(tmp_path: Path, items: list):
    from napari_ssl.core.label_scheme import LabelScheme

    scheme = LabelScheme.parse("1=RV:rv_cavity,2=Myo:myocardium,3=LV:lv_cavity,7=Atrium")
    with Study.create(tmp_path / "gaps", label_scheme=scheme) as study:
        assert not study.add_cases(items).failed
        with pytest.raises(LabelError, match=r"values 1 to 4 without a gap.*Atrium=7.*--relabel"):
            export_study(study, tmp_path / "out", "nnunet", EVERYTHING)
        assert not (tmp_path / "out").exists()
        options = ExportOptions(states=("all",), relabel={1: 3, 3: 1, 7: 4})
        export_study(study, tmp_path / "out", "nnunet", options)
        folder = tmp_path / "out" / "Dataset001_gaps"
        names = _check_as_nnunet(folder)
        assert json.loads((folder / "dataset.json").read_text())["labels"] == {
            "background": 0, "LV": 1, "Myo": 2, "RV": 3, "Atrium": 4
        }  # fmt: skip
        case, frame = re.fullmatch(r"(p\d)_frame(\d\d)", names[0]).groups()
        before = study.read_labels(study.reference(case))[int(frame) - 1]
        after = read_labels(folder / "labelsTr" / f"{names[0]}.nii.gz")[0]
        np.testing.assert_array_equal(after, np.array([0, 3, 2, 1], np.uint8)[before])


def test_a_relabelling_that_would_merge_structures_is_refused(reviewed: Study, tmp_path: Path):
    with pytest.raises(LabelError, match="gives Myo and LV the same value 3"):
        export_study(reviewed, tmp_path / "out", "nifti", ExportOptions(relabel={2: 3}))
    with pytest.raises(LabelError, match=r"relabel 9=1: old values are 1=RV, 2=Myo, 3=LV"):
        export_study(reviewed, tmp_path / "out", "nifti", ExportOptions(relabel={9: 1}))
    assert not (tmp_path / "out").exists()


def test_values_stay_as_they_are_unless_asked(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "a", "nifti")
    export_study(reviewed, tmp_path / "b", "nifti", ExportOptions(relabel={3: 1, 1: 3}))
    plain, other = (read_labels(tmp_path / n / "p1_seg.nii.gz") for n in "ab")
    np.testing.assert_array_equal(plain, make_labels(3, ALL))
    np.testing.assert_array_equal(other, np.array([0, 3, 2, 1], np.uint8)[plain])
    assert json.loads((tmp_path / "b" / "label_values.json").read_text())["LV"] == 1


# -- DICOM ----------------------------------------------------------------------------------------------------------


def test_each_phase_becomes_a_segmentation_that_reads_back(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "out", "dicom-seg", ExportOptions(frames="phases"))
    assert _tree(tmp_path / "out" / "p1") == sorted(
        [f"images/frame{f:02d}_slice{z:02d}.dcm" for f in (1, 3) for z in (1, 2, 3)]
        + ["p1_frame01_seg.dcm", "p1_frame03_seg.dcm"]
    )
    found = read_dicom_seg(tmp_path / "out" / "p1" / "p1_frame03_seg.dcm")
    np.testing.assert_array_equal(found.in_scheme(reviewed.label_scheme, "p1"), make_labels(3, ALL)[2])
    np.testing.assert_allclose(found.geometry.origin_xyz, GEOMETRY.origin_xyz, atol=1e-6)
    picture = pydicom.dcmread(tmp_path / "out" / "p1" / "images" / "frame03_slice02.dcm")
    image = read_image(reviewed.case("p1").image_path).data
    np.testing.assert_array_equal(picture.pixel_array, image[2, 1])
    kinds = {
        case: pydicom.dcmread(tmp_path / "out" / case / f"{case}_frame01_seg.dcm")
        .SegmentSequence[0]
        .SegmentAlgorithmType
        for case in ("p0", "p1")
    }
    assert kinds == {"p0": "AUTOMATIC", "p1": "MANUAL"}
    assert len(_tree(tmp_path / "out" / "p0")) == 4 * (3 + 1)  # no phase is known: all frames


# -- contours -------------------------------------------------------------------------------------------------------


def test_contours_lie_where_the_labels_lie(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "out", "contours", ExportOptions(frames="phases"))
    document = json.loads((tmp_path / "out" / "p1_contours.json").read_text())
    assert document["frames"] == [0, 2] and {c["frame"] for c in document["contours"]} == {0, 2}
    labels = make_labels(3, ALL)
    for contour in document["contours"]:
        points, mm = np.array(contour["image"]), np.array(contour["patient_mm"])
        np.testing.assert_allclose(mm[:, :2], points * [1.5, 1.25] + [-10, 20], atol=1e-3)
        np.testing.assert_allclose(mm[:, 2], contour["slice"] * 8 + 5)
        if contour["structure"] == "LV":
            rows, columns = np.nonzero(labels[contour["frame"], contour["slice"]] == 3)
            centre = (points.min(axis=0) + points.max(axis=0)) / 2
            np.testing.assert_allclose(centre, [columns.mean(), rows.mean()], atol=1e-6)


def test_sunnybrook_files_are_numbered_as_its_images(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "out", "sunnybrook", ExportOptions(frames="phases"))
    folder = tmp_path / "out" / "p1" / "contours-manual" / "IRCCI-expert"
    numbers = sorted({int(p.name[8:12]) for p in folder.iterdir()})
    assert numbers == [1, 3, 5, 7, 9, 11]  # phases 1 and 3 of 4 in each of three slices
    points = np.loadtxt(folder / "IM-0001-0005-icontour-manual.txt")
    labels = make_labels(3, ALL)[0, 1] == 3
    rows, columns = np.nonzero(labels)
    np.testing.assert_allclose(points.min(axis=0), [columns.min() - 0.5, rows.min() - 0.5])
    assert (tmp_path / "out" / "p1" / "index.csv").read_text().splitlines()[1] == "IM-0001-0001-icontour-manual.txt,0,0"


# -- decisions and provenance ---------------------------------------------------------------------------------------


def _events(path: Path) -> list[dict]:
    head, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert head["kind"] == "header" and head["format"] == 1
    return rows


def test_the_audit_tells_who_decided_what_about_which_labels(reviewed: Study, tmp_path: Path):
    p0 = reviewed.current("p0")
    reviewed.add_place_verdict(
        PlaceVerdict(
            case_id="p0", segmentation_id=p0.id, label_hash=p0.label_hash, reader="Ada", frame=1, slice=2,
            verdict="wrong", reason="RV wrong", judged_at=p0.created_at,
        )
    )  # fmt: skip
    export_study(reviewed, tmp_path / "out", "audit")
    rows = _events(tmp_path / "out" / "decisions.jsonl")
    assert [(r["case_id"], r["verdict"], r["reader"]) for r in rows] == [
        ("p0", "accept", "Ada"), ("p1", "correct", "Ada"), ("p2", "reject", "Ada")
    ]  # fmt: skip
    assert rows[0]["label_hash"] == p0.label_hash and rows[0]["decided_at"].endswith("+00:00")
    (place,) = _events(tmp_path / "out" / "place_verdicts.jsonl")
    assert (place["frame"], place["slice"], place["verdict"]) == (1, 2, "wrong")
    versions = _events(tmp_path / "out" / "label_versions.jsonl")
    hashes = {case.id: case.image_hash for case in reviewed.cases()}
    assert {v["case_id"]: v["image_sha256"] for v in versions} == {v["case_id"]: hashes[v["case_id"]] for v in versions}
    assert [e["event"] for e in _events(tmp_path / "out" / "models.jsonl")] == ["registered"]


def _with_training(study: Study) -> None:
    """Let the card of m1 say that it learned from p0's accepted labels."""
    card = study.folder / "models" / "m1" / "card.json"
    rows = [["p0", "accepted", study.current("p0").label_hash]]
    card.write_text(json.dumps({"model_id": "m1", "training_cases": rows}))
    study.promote("m1", by="Bob")


def test_a_round_becomes_a_crate_that_a_reader_of_crates_understands(reviewed: Study, tmp_path: Path):
    _with_training(reviewed)
    out = tmp_path / "crate"
    export_study(reviewed, out, "ro-crate")
    crate = ROCrate(out)
    assert str(crate.metadata.extra_contexts) == "[]" and crate.root_dataset["name"] == "Tiny, round 1"
    described = {e.id for e in crate.data_entities}
    assert described == set(_tree(out)) - {"ro-crate-metadata.json"}
    label = next(e for e in crate.data_entities if e.id.startswith("labels/"))
    np.testing.assert_array_equal(read_labels(out / label.id), make_labels(0, ALL))
    training = next(e for e in crate.contextual_entities if e.type == "CreateAction")
    assert [o.id for o in training["object"]] == [label.id]
    assert {r.id for r in training["result"]} == {"models/m1/weights.safetensors", "models/m1/card.json"}
    assert training["instrument"]["name"] == "napari-ssl" and training["instrument"]["softwareVersion"]
    (review,) = [e for e in crate.contextual_entities if e.type == "ReviewAction"]
    assert (review["name"], review["agent"]["name"], review["object"].id) == ("accept", "Ada", label.id)
    (promotion,) = [e for e in crate.contextual_entities if e.type == "ActivateAction"]
    assert promotion["agent"]["name"] == "Bob"


def test_all_that_a_crate_refers_to_is_there_and_hashes_hold(reviewed: Study, tmp_path: Path):
    import hashlib

    _with_training(reviewed)
    out = tmp_path / "crate"
    export_study(reviewed, out, "ro-crate", ExportOptions(round=1))
    graph = json.loads((out / "ro-crate-metadata.json").read_text())["@graph"]
    known = {e["@id"] for e in graph}
    assert len(known) == len(graph)

    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if set(value) == {"@id"} else (r for v in value.values() for r in references(v))
        elif isinstance(value, list):
            yield from (r for v in value for r in references(v))

    assert {r for e in graph for r in references(e) if not r.startswith("https://")} <= known
    files = [e for e in graph if e["@type"] == "File"]
    assert all(hashlib.sha256((out / e["@id"]).read_bytes()).hexdigest() == e["sha256"] for e in files)
    with pytest.raises(StudyError, match="has no round 9; it has 1"):
        export_study(reviewed, tmp_path / "other", "ro-crate", ExportOptions(round=9))


# -- all formats ----------------------------------------------------------------------------------------------------

WRITTEN_HERE = tuple(name for name in FORMATS if name != "monai-bundle")


@pytest.mark.parametrize("format_", WRITTEN_HERE)
def test_no_export_tells_where_images_lie(reviewed: Study, tmp_path: Path, format_: str):
    """Folders and file names of images may hold the names of patients."""
    _with_training(reviewed)
    export_study(reviewed, tmp_path / "out", format_)
    written = _everything_written(tmp_path / "out")
    assert written and str(tmp_path) not in written and "images/p" not in written


@pytest.mark.parametrize("format_", WRITTEN_HERE)
def test_no_export_replaces_anything_unasked_or_leaves_a_half(reviewed: Study, tmp_path: Path, format_: str):
    _with_training(reviewed)
    out = tmp_path / "out"
    export_study(reviewed, out, format_)
    before = {name: (out / name).stat().st_mtime_ns for name in _tree(out)}
    with pytest.raises(StorageError, match="exists already and nothing was written"):
        export_study(reviewed, out, format_)
    assert {name: (out / name).stat().st_mtime_ns for name in _tree(out)} == before
    export_study(reviewed, out, format_, overwrite=True)
    assert _tree(out) == sorted(before)


@pytest.mark.parametrize("format_", ["nifti", "nnunet", "dicom-seg", "contours", "ro-crate"])
def test_a_stopped_export_leaves_nothing(reviewed: Study, tmp_path: Path, format_: str):
    _with_training(reviewed)
    asked = iter([False, True, True])
    with pytest.raises(StudyError, match="the export was stopped; nothing was written"):
        export_study(reviewed, tmp_path / "out", format_, should_stop=lambda: next(asked, True))
    assert not (tmp_path / "out").exists()


def test_an_export_into_the_study_is_refused(reviewed: Study, tmp_path: Path):
    before = _tree(reviewed.folder)
    with pytest.raises(StorageError, match="belongs to the study"):
        export_study(reviewed, reviewed.folder / "labels", "nifti", overwrite=True)
    assert _tree(reviewed.folder) == before


def test_what_a_format_would_not_heed_is_refused(reviewed: Study, tmp_path: Path):
    with pytest.raises(StudyError, match=r"csv has no choice of dataset id \(got 5\)"):
        export_study(reviewed, tmp_path / "out", "csv", ExportOptions(dataset_id=5))
    for wrong in ({"frames": "some"}, {"modality": "PET"}, {"dataset_id": 0}, {"n_folds": 1}):
        with pytest.raises(NapariSslError):
            ExportOptions(**wrong)


def test_expert_labels_come_along_when_asked_for(reviewed: Study, tmp_path: Path):
    export_study(reviewed, tmp_path / "out", "nifti", ExportOptions(with_expert=True))
    cases = {name.split("_")[0] for name in _tree(tmp_path / "out") if name.endswith(".nii.gz")}
    assert cases == {"p0", "p1", "p2", "p3", "p4"}
    assert "p2_frame01_seg.nii.gz" in _tree(tmp_path / "out")  # rejected: the expert's labels, not the proposal
