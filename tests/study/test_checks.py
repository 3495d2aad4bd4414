from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from study_factory import GEOMETRY, decide, make_items, make_labels, make_model, propose

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.images import write_volume
from napari_ssl.study import Study, schema


def _found(study: Study, severity: str) -> dict[str, str]:
    return {f.path or f.case_id or "": f.message for f in study.check() if f.severity == severity}


def test_a_sound_study_has_no_errors(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1")
    study.record(decide(propose(study, "p0", 1)))
    study.create_job("train", {})
    steps = []
    assert study.check(progress=lambda *step: steps.append(step)) == []
    assert len(steps) == 6 + 6


def test_images_that_are_gone_or_changed_are_found(fresh_study: Study):
    images = [Path(fresh_study.case(case_id).image_path) for case_id in ("p0", "p1")]
    images[0].unlink()
    images[1].write_bytes(b"other")
    errors = _found(fresh_study, "error")
    assert len(errors) == 2
    assert "cannot be read" in errors[str(images[0])]
    assert "changed since it was imported" in errors[str(images[1])]


def test_labels_that_are_gone_changed_or_alien_are_found(study: Study):
    files = [study.label_file(study.reference(f"p{i}")) for i in range(4)]
    files[0].unlink()
    write_volume(files[1], make_labels(4), GEOMETRY)
    write_volume(files[2], make_labels() * 3, GEOMETRY)
    write_volume(files[3], make_labels()[:2], GEOMETRY)
    errors = _found(study, "error")
    messages = [errors[f.relative_to(study.folder).as_posix()] for f in files]
    for message, part in zip(messages, ("p0", "another hash", "not in the label scheme", "has shape"), strict=True):
        assert part in message


def test_left_overs_are_notes_and_stay(study: Study):
    for name in ("labels/p0/.tmp-1-ab-x.nii.gz", "labels/p0/mine.nii.gz", "models/old/weights.safetensors", "runs/x/y"):
        path = study.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    notes = _found(study, "note")
    assert "process that was killed" in notes["labels/p0/.tmp-1-ab-x.nii.gz"]
    assert set(notes) == {
        "labels/p0/.tmp-1-ab-x.nii.gz",
        "labels/p0/mine.nii.gz",
        "models/old/weights.safetensors",
        "runs/x",
    }
    assert (study.folder / "labels/p0/mine.nii.gz").exists()


def test_damaged_models_and_jobs_are_found(study: Study, tmp_path: Path):
    for name in ("a", "b", "c"):
        make_model(study, tmp_path / name, name)
    (study.folder / "models/a/weights.safetensors").write_bytes(b"x")
    (study.folder / "models/b/weights.safetensors").unlink()
    (study.folder / "models/c/card.json").unlink()
    job = study.create_job("train", {})
    (study.job_folder(job.id) / "spec.json").unlink()
    messages = " | ".join(_found(study, "error").values())
    for part in ("model a: its weights were changed", "model b: its weights are absent", "model c: its card"):
        assert part in messages
    assert f"job {job.id} (queued): its order is absent" in messages


def test_a_study_without_validation_or_test_is_warned_of(tmp_path: Path):
    with Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"]) as study:
        study.add_cases(make_items(tmp_path / "i", n=2), split="train")
        messages = " | ".join(f.message for f in study.check())
        assert "no case in split validation" in messages and "no case in split test" in messages
        study.add_cases(make_items(tmp_path / "i", n=4, n_labelled=0), split="test")
        assert "case p3 is in split test and has no reference" in " | ".join(f.message for f in study.check())


def test_one_image_in_two_splits_is_an_error(study: Study):
    """Cannot come about by imports; somebody changed the database."""
    with study._database.write() as connection:
        known = connection.execute(sa.select(schema.cases.c.image_hash).where(schema.cases.c.id == "p0")).scalar()
        connection.execute(sa.update(schema.cases).values(image_hash=known))
    errors = [f.message for f in study.check() if f.severity == "error" and "same image" in f.message]
    assert len(errors) == 1 and "in splits test, train, validation" in errors[0]


def test_subjects_that_differ_by_capitals_only_are_warned_of(study: Study):
    with study._database.write() as connection:
        connection.execute(sa.insert(schema.subjects).values(id="S0", split="test"))
        connection.execute(sa.update(schema.cases).where(schema.cases.c.id == "p5").values(subject_id="S0"))
        connection.execute(sa.update(schema.subjects).where(schema.subjects.c.id == "s0").values(split="train"))
    assert any("subjects S0, s0 differ by capitals only" in m for m in _found(study, "warning").values())


def test_rows_that_point_nowhere_and_lost_guards_are_errors(study: Study):
    with sqlite3.connect(study.folder / "study.db") as connection:  # without foreign keys
        connection.execute("DELETE FROM cases WHERE id = 'p0'")
        connection.execute("DROP TRIGGER decisions_no_delete")
    study_messages = " | ".join(f.message for f in study._check_database())
    assert "1 rows point to rows that are gone" in study_messages and "decisions_no_delete" in study_messages


def test_status_counts(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1", round_=3)
    study.promote("m1", by="Ada")
    study.record(decide(propose(study, "p0", 1)))
    study.create_job("train", {})
    status = study.status()
    assert status["n_cases"] == status["n_subjects"] == 6
    assert status["cases_by_split"] == {"train": 4, "validation": 1, "test": 1}
    assert status["cases_by_state"] == {"accepted": 1, "unreviewed": 5}
    assert (status["n_with_reference"], status["n_with_proposal"], status["n_decisions"]) == (5, 1, 1)
    assert (status["promoted"], status["next_round"], status["jobs_by_state"]) == ("m1", 4, {"queued": 1})
