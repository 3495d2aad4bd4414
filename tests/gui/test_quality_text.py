from __future__ import annotations

import pytest

from napari_ssl.core.rating import Score
from napari_ssl.gui.quality_text import quality_text

COMMITTEE = {"predicted_dice": 0.834, "interval": [0.7, 0.91], "probability_good": 0.61, "members": ["a", "b"]}


def plain(*arguments, **options):
    return quality_text(*arguments, **options).replace("&nbsp;", " ")


def test_nothing_known_is_nothing_said():
    assert quality_text(None, {}) == ""
    assert quality_text(None, {"mean_pairwise_dice": 0.9, "members": ["a", "b"]}) == ""


@pytest.mark.parametrize(("good", "mark"), [(0.61, ""), (0.3, " ⚑")])
def test_the_committee_leads(good, mark):
    score = Score(segmentation_id=1, classifier_id="c", probability_good=0.42, is_flagged=True)
    text = plain(score, {**COMMITTEE, "probability_good": good}, is_shaded=True)
    assert text == (f"Dice by 2 models <b>0.83{mark}</b> (0.70–0.91) · P(good) <b>0.42 ⚑</b> · shaded: speaks against")


def test_without_a_score_nothing_is_shaded():
    assert plain(None, COMMITTEE, is_shaded=True) == "Dice by 2 models <b>0.83</b> (0.70–0.91)"
