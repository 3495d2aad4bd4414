from __future__ import annotations

import json

import numpy as np
import pytest
from curve_sets import beat, with_spike

from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CheckpointError, SpecError
from napari_ssl.qc.score import Scorer, score_curves
from napari_ssl.qc.store import load_classifier, save_classifier


@pytest.fixture
def folder(classifier, tmp_path):
    card = {
        "id": "short-axis-1", "kind": "short-axis", "threshold": 0.4, "calibration": {"slope": 2.0, "intercept": 0.5},
        "parameters": {n: getattr(classifier.parameters, n) for n in classifier.parameters.__dataclass_fields__},
        "label_scheme": PRESETS["acdc"].to_dict(),
    }  # fmt: skip
    save_classifier(classifier.network, card, tmp_path)
    return tmp_path


def test_good_cycles_score_higher_than_those_with_a_wrong_frame(classifier):
    good, bad = score_curves(classifier, [beat(24), with_spike(beat(24), 7)])
    assert good > 0.5 > bad


def test_a_cycle_scores_alike_alone_and_among_others_of_other_lengths(classifier, masking_classifier):
    for one in (classifier, masking_classifier):
        sets = [beat(n) for n in (12, 20, 35)]
        together = score_curves(one, sets)
        alone = [score_curves(one, [s])[0] for s in sets]
        np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_units_and_the_first_frame_do_not_matter(classifier):
    plain, scaled, turned = score_curves(
        classifier, [beat(20), {k: v / 1000 for k, v in beat(20).items()}, beat(20, shift=9)]
    )
    assert scaled == pytest.approx(plain, rel=1e-4)
    assert turned == pytest.approx(plain, rel=1e-4)


def test_nothing_to_score_gives_nothing(classifier):
    assert score_curves(classifier, []).shape == (0,)


def test_a_stored_classifier_scores_as_before_by_its_calibration(classifier, folder):
    stored = load_classifier(folder)
    before = score_curves(classifier, [beat()])[0]
    logit = np.log(before / (1 - before))
    assert score_curves(stored, [beat()])[0] == pytest.approx(1 / (1 + np.exp(-(2 * logit + 0.5))), rel=1e-4)


def test_a_scorer_takes_what_orders_carry_and_the_names_of_another_scheme(folder):
    card = json.loads((folder / "card.json").read_text())
    reference = {
        "weights_path": str(folder / "weights.safetensors"), "weights_hash": card["weights_hash"], "card": card,
    }  # fmt: skip
    scorer = Scorer.from_reference(reference)
    typed = {k: VolumeCurve(case_id="a", structure=k, volume_ml=v) for k, v in beat().items()}
    assert scorer.threshold == 0.4
    assert scorer.probabilities([typed]) == scorer.probabilities([beat()])
    renamed = {"left": beat()["LV"], "right": beat()["RV"], "muscle": beat()["Myo"]}
    other = PRESETS["acdc"].parse("7=left:lv_cavity,8=right:rv_cavity,9=muscle:myocardium")
    assert Scorer.from_reference(reference, other).probabilities([renamed]) == scorer.probabilities([beat()])
    with pytest.raises(SpecError, match="short-axis"):
        scorer.probabilities([renamed])


def test_files_that_were_changed_or_lost_are_refused(folder):
    card = json.loads((folder / "card.json").read_text())
    with pytest.raises(CheckpointError, match="not the weights"):
        Scorer(folder / "weights.safetensors", "0" * 64, card)
    with pytest.raises(CheckpointError, match="do not fit"):
        Scorer(folder / "weights.safetensors", None, {**card, "parameters": {**card["parameters"], "width": 4}})
    for calibration in (None, [1], {"a": 1}, {"slope": "x"}, {"slope": None}):
        with pytest.raises(CheckpointError, match="do not fit"):
            Scorer(folder / "weights.safetensors", None, {**card, "calibration": calibration})
    with pytest.raises(CheckpointError, match=r"\A[^\n]*do not fit \(RuntimeError: [^\n]*\Z"):
        Scorer(folder / "weights.safetensors", None, {**card, "kind": "aorta"})
    for text in ("{", "3", "[]"):
        (folder / "card.json").write_text(text)
        with pytest.raises(CheckpointError, match="damaged"):
            load_classifier(folder)


def test_nothing_of_a_stored_classifier_can_be_executed(folder):
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
