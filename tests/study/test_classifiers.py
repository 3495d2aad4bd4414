from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_factory import make_model, propose

from napari_ssl.core.model import ModelState
from napari_ssl.errors import CheckpointError, StudyError, UnknownCaseError
from napari_ssl.study import Study


def _folder(place: Path, name: str, weights: bytes = b"w", **more) -> Path:
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "card.json").write_text(json.dumps({"id": name, "kind": "short-axis", "threshold": 0.6, **more}))
    return folder


def test_a_registered_classifier_brings_its_files(study: Study, tmp_path: Path):
    assert study.classifier("short-axis") is None and study.classifiers() == []
    assert study.register_classifier(_folder(tmp_path, "a")) == "a"
    assert study.register_classifier(_folder(tmp_path, "a")) == "a"
    (found,) = study.classifiers()
    assert (found.id, found.kind, found.threshold, found.state) == ("a", "short-axis", 0.6, ModelState.CANDIDATE)
    folder = study.classifier_folder("a")
    assert folder == study.folder / "qc" / "a" and (folder / "weights.safetensors").read_bytes() == b"w"
    assert study.classifier_card("a")["threshold"] == 0.6
    assert not [f for f in study.check() if "qc" in (f.path or "")]
    with pytest.raises(StudyError, match=r"exists already with other weights"):
        study.register_classifier(_folder(tmp_path, "a", b"other"))


def test_what_is_no_classifier_is_refused(study: Study, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is absent"):
        study.register_classifier(tmp_path)
    with pytest.raises(CheckpointError, match=r"threshold must be in \[0, 1\], got 2"):
        study.register_classifier(_folder(tmp_path, "b", threshold=2))
    with pytest.raises(StudyError, match=r"no kind of classifier 'liver'; there are short-axis, aorta"):
        study.register_classifier(_folder(tmp_path, "c", kind="liver"))
    folder = _folder(tmp_path, "d")
    (folder / "card.json").write_text('{"id": "d", "kind": "aorta"}')
    with pytest.raises(CheckpointError, match=r"without 'threshold'"):
        study.register_classifier(folder)
    with pytest.raises(StudyError, match=r"classifier '../e'"):
        study.register_classifier(_folder(tmp_path, "e", id="../e"))
    assert study.classifiers() == []


@pytest.mark.parametrize(
    "card",
    [
        *(3, "id kind threshold", [], {"weights_hash": 3}, {"metrics": [1]}, {"evidence": 1}),
        *({"training_subjects": 5}, {"training_subjects": [["p0"]]}),
    ],
)
def test_a_card_that_was_damaged_later_is_named(study: Study, tmp_path: Path, card):
    study.register_classifier(_folder(tmp_path, "a"))
    whole = {"id": "a", "kind": "short-axis", "threshold": 0.6}
    text = json.dumps({**whole, **card} if isinstance(card, dict) else card)
    (study.folder / "qc" / "a" / "card.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"qc/a/card\.json: damaged.*train the classifier again"):
        study.classifier_card("a")


def test_damaged_weights_leave_a_way_out(study: Study, tmp_path: Path):
    study.register_classifier(_folder(tmp_path, "a"))
    (study.folder / "qc" / "a" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"classifier a: its weights were changed; .*qc promote.*qc train"):
        study.classifier_folder("a")
    (study.folder / "qc" / "a" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"classifier a: .* is absent; .*qc promote.*qc train"):
        study.classifier_folder("a")


def test_the_newest_is_in_use_until_one_is_promoted(study: Study, tmp_path: Path):
    for name, kind in (("a", "short-axis"), ("b", "short-axis"), ("ao", "aorta")):
        study.register_classifier(_folder(tmp_path, name, name.encode(), kind=kind))
    assert study.classifier("short-axis").id == "b" and study.classifier("aorta").id == "ao"
    assert study.promote_classifier("a", by="Ada").state is ModelState.PROMOTED
    assert study.classifier("short-axis").id == "a" and study.classifier("aorta").id == "ao"
    study.promote_classifier("b", by="Ada")
    assert [c.state.value for c in study.classifiers("short-axis")] == ["archived", "promoted"]
    events = [(e["classifier_id"], e["event"]) for e in study.classifier_events() if e["event"] != "registered"]
    assert events == [("a", "promoted"), ("b", "promoted")]
    with pytest.raises(StudyError, match=r"needs the name"):
        study.promote_classifier("a", by=" ")


def test_changed_or_lost_files_are_told(study: Study, tmp_path: Path):
    study.register_classifier(_folder(tmp_path, "a"))
    (study.folder / "qc" / "a" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"its weights were changed"):
        study.classifier_folder("a")
    assert any("its weights were changed" in f.message for f in study.check())
    (study.folder / "qc" / "a" / "card.json").unlink()
    with pytest.raises(CheckpointError, match=r"card.json is absent"):
        study.classifier_card("a")


def test_scores_of_the_classifier_in_use_count(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m")
    first, second = propose(study, "p0", 1), propose(study, "p1", 1)
    for name in ("a", "b"):
        study.register_classifier(_folder(tmp_path, name, name.encode()))
    assert study.add_score(first.id, "a", 0.5).is_flagged
    assert study.scores()[first.id].classifier_id == "a"  # the one in use has not scored it
    study.add_scores("b", {first.id: 0.7, second.id: 0.6})
    study.add_score(first.id, "a", 0.4)
    assert {n: (s.probability_good, s.is_flagged) for n, s in study.scores().items()} == {
        first.id: (0.7, False),
        second.id: (0.6, False),
    }
    study.promote_classifier("a", by="Ada")
    assert study.scores([first.id]) == {first.id: study.add_score(first.id, "a", 0.4)}
    row = next(r for r in study.queue_rows() if r.case_id == "p0")
    assert (row.probability_good, row.is_flagged, row.n_flags) == (0.4, True, None)
    assert next(r for r in study.queue_rows() if r.case_id == "p5").is_flagged is None


def test_scores_that_are_none_are_refused(study: Study, tmp_path: Path):
    study.register_classifier(_folder(tmp_path, "a"))
    reference = study.reference("p0")
    for value in (1.2, float("nan")):
        with pytest.raises(StudyError, match=r"a probability must be in \[0, 1\]"):
            study.add_score(reference.id, "a", value)
    with pytest.raises(UnknownCaseError, match=r"no classifier 'x'"):
        study.add_score(reference.id, "x", 0.5)
    with pytest.raises(UnknownCaseError, match=r"no label version number 999"):
        study.add_scores("a", {reference.id: 0.5, 999: 0.5})
    assert study.scores() == {}


def test_broken_rules_are_counted_in_the_queue(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m")
    proposal = propose(study, "p0", 1)
    study.set_measures(proposal.id, {"flags": [{"rule": "islands"}, {"rule": "gaps"}]})
    assert next(r for r in study.queue_rows() if r.case_id == "p0").n_flags == 2
    study.set_measures(proposal.id, {"flags": []})
    assert next(r for r in study.queue_rows() if r.case_id == "p0").n_flags == 0
