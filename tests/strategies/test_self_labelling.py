"""Self-labelling: which cases, weights and durations each phase has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from recording_lab import RecordingLab, names

from napari_ssl.core.catalogue import NETWORKS, STRATEGIES, preset_values
from napari_ssl.core.catalogue.self_labelling import SelfLabellingParameters
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.preprocessing import Preprocessing, changed_preprocessing
from napari_ssl.errors import CatalogueError
from napari_ssl.inference.preprocess import normalise
from napari_ssl.strategies.self_labelling import SelfLabelling

ENTRY = STRATEGIES["self-labelling"]


def test_first_phase_sees_labelled_cases_and_the_second_all_from_other_random_weights():
    lab = RecordingLab("ab", "cde")
    result = SelfLabelling(SelfLabellingParameters(batch_size=10, lam=0.5)).run(lab)
    first, second = lab.fits
    assert names(first["items"]) == ["a", "b"]
    assert names(second["items"]) == ["a", "b", "c", "d", "e"]
    assert [i.weight for i in second["items"]] == [1, 1, 0.5, 0.5, 0.5]
    assert [i.label_hash for i in second["items"]][2:] == ["c_pseudo", "d_pseudo", "e_pseudo"]
    assert lab.labelled_by.hash == "fit 1"
    assert second["start"] is None and second["initialisation"] != first.get("initialisation", 0)
    assert result.hash == "fit 2"
    assert lab.planned == (1000 * 2, 100 * 5)


def test_rejected_pseudo_labels_are_left_out():
    lab = RecordingLab("a", "cd")
    lab.rejected = {"d"}
    SelfLabelling(SelfLabellingParameters()).run(lab)
    assert names(lab.fits[1]["items"]) == ["a", "c"]


def test_second_phase_can_go_on_from_the_first():
    lab = RecordingLab("a", "c")
    SelfLabelling(SelfLabellingParameters(from_scratch=False)).run(lab)
    assert lab.fits[1]["start"].hash == "fit 1"


def test_promoted_model_takes_the_place_of_the_first_phase():
    lab = RecordingLab("a", "c", start=True)
    SelfLabelling(SelfLabellingParameters(warm_start=True, batch_size=10)).run(lab)
    assert len(lab.fits) == 1 and lab.labelled_by.hash == "promoted"
    assert lab.planned == (100 * 2,)


def test_published_schedule():
    p = from_mapping(SelfLabellingParameters, preset_values(ENTRY, "paper", {}))
    assert (p.optimiser, p.learning_rate, p.schedule, p.batch_size) == ("adam", 1e-3, "poly", 18)
    assert (p.first_phase, p.second_phase, p.loss) == ("1000 epochs", "100 epochs", "dice-cross-entropy")
    assert (p.augmentation, p.keep, p.from_scratch, p.lam) == ("rotation-flips", "best", True, 1.0)
    assert ENTRY.preset_network["paper"] in NETWORKS


def test_published_preprocessing_cuts_the_highest_5_percent_and_standardises():
    preprocessing = changed_preprocessing(Preprocessing(), ENTRY.preset_preprocessing["paper"])
    assert preprocessing.crop_yx == (224, 224)
    image = np.random.default_rng(0).gamma(2, 100, (1, 3, 40, 40)).astype(np.float32)
    cut = np.minimum(image, np.percentile(image, 95))
    assert normalise(image, preprocessing) == pytest.approx((cut - cut.mean()) / cut.std(), abs=2e-3)  # Eq. 1


def test_a_duration_without_a_unit_is_refused():
    with pytest.raises(CatalogueError, match="epochs"):
        dataclasses.replace(SelfLabellingParameters(), second_phase="50 rounds")
