from __future__ import annotations

import json

import numpy as np
import pytest
from curve_sets import beat, with_spike

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.qc.explain import integrated_gradients, occlusion


@pytest.mark.parametrize("which", ["classifier", "masking_classifier"])
def test_attributions_sum_to_the_difference_of_the_scores(which, request):
    """Completeness (Sundararajan 2017, Proposition 1)."""
    classifier = request.getfixturevalue(which)
    for curves in (beat(), with_spike(beat(25), 9), {k: 0 * v for k, v in beat().items()}):
        explained = integrated_gradients(classifier, curves)
        total = sum(float(a.sum()) for a in explained.attribution.values())
        difference = explained.logit - explained.baseline_logit
        assert total == pytest.approx(difference, abs=0.03 * max(1.0, abs(difference)))


@pytest.mark.parametrize("explain", [integrated_gradients, occlusion])
@pytest.mark.parametrize("which", ["classifier", "masking_classifier"])
@pytest.mark.parametrize(("structure", "frame"), [("LV", 5), ("RV", 14), ("Myo", 0)])
def test_the_planted_frame_and_structure_stand_out(explain, which, structure, frame, request):
    classifier = request.getfixturevalue(which)
    explained = explain(classifier, with_spike(beat(), frame, structure, 2.0))
    mass = {name: np.clip(values, 0, None).sum() for name, values in explained.attribution.items()}
    assert max(mass, key=mass.get) == structure
    found = int(np.argmax(explained.attribution[structure]))
    assert min((found - frame) % 20, (frame - found) % 20) <= 1


def test_attributions_are_over_the_frames_of_the_acquisition_in_plain_numbers(classifier):
    explained = integrated_gradients(classifier, beat(17))
    assert {len(v) for v in explained.attribution.values()} == {17}
    assert set(json.loads(json.dumps(explained.to_dict()))) == {"attribution", "logit", "baseline_logit"}


def test_a_structure_that_is_not_there_gets_no_curve_and_the_sum_is_kept(classifier):
    curves = {k: v for k, v in beat().items() if k != "RV"}
    explained = integrated_gradients(classifier, curves, PRESETS["sunnybrook"])
    assert set(explained.attribution) == {"LV", "Myo"}
    total = sum(float(a.sum()) for a in explained.attribution.values())
    assert total == pytest.approx(explained.logit - explained.baseline_logit, abs=0.05)


def test_frames_without_labels_are_never_occluded_into_labelled_ones(classifier):
    gaps = {k: np.where(np.arange(20) == 4, np.nan, v) for k, v in beat().items()}
    explained = occlusion(classifier, gaps, window=3)
    assert np.isfinite(np.concatenate(list(explained.attribution.values()))).all()
