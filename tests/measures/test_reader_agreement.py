from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from napari_ssl.core.rating import Rating
from napari_ssl.errors import DecisionError
from napari_ssl.measures.reader_agreement import (
    bootstrap_kappa,
    cohen_kappa,
    fleiss_kappa,
    rating_agreement,
    weighted_kappa,
)

# Two dermatologists, SAS/STAT 14.2 User's Guide, PROC FREQ, "Agreement Study" (terrible, poor, marginal, clear)
SKIN = [[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]
# Two pathologists, Landis & Koch, Biometrics 33:363, 1977; Agresti, Categorical Data Analysis, 2nd ed., Table 10.8
CARCINOMA = [[22, 2, 2, 0], [5, 7, 14, 0], [0, 2, 36, 0], [0, 1, 17, 10]]
# Fourteen psychiatrists and ten subjects: the worked example that goes with Fleiss, Psychol. Bull. 76:378, 1971
PSYCHIATRY = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_cohens_kappa_and_its_interval_are_those_that_sas_prints():
    kappa = cohen_kappa(SKIN)
    assert (kappa.value, kappa.low, kappa.high) == pytest.approx((0.3449, 0.2030, 0.4868), abs=5e-5)
    assert (kappa.n_items, kappa.agreement) == (88, pytest.approx(45 / 88))


def test_cohens_kappa_and_its_standard_error_are_those_of_the_textbook():
    kappa = cohen_kappa(CARCINOMA)
    assert kappa.value == pytest.approx(0.493, abs=5e-4)
    assert (kappa.high - kappa.value) / 1.959964 == pytest.approx(0.057, abs=5e-4)


def test_weighted_kappa_with_either_weights_is_the_published_one():
    linear = weighted_kappa(SKIN, weights="linear")
    assert (linear.value, linear.low, linear.high) == pytest.approx((0.5082, 0.3798, 0.6366), abs=5e-5)
    assert weighted_kappa(CARCINOMA).value == pytest.approx(0.78, abs=5e-3)


def test_fleiss_kappa_is_the_published_one_and_lies_in_its_interval():
    kappa = fleiss_kappa(PSYCHIATRY)
    assert kappa.value == pytest.approx(0.210, abs=5e-4) and kappa.agreement == pytest.approx(0.378, abs=5e-4)
    assert kappa.low < kappa.value < kappa.high and kappa == fleiss_kappa(PSYCHIATRY)


def test_perfect_agreement_is_one_chance_is_zero_and_one_category_is_undefined():
    assert cohen_kappa([[5, 0], [0, 7]]).value == 1 == weighted_kappa([[5, 0], [0, 7]]).value
    assert cohen_kappa([[4, 6], [8, 12]]).value == pytest.approx(0)
    assert np.isnan(cohen_kappa([[9, 0], [0, 0]]).value) and np.isnan(fleiss_kappa([[2, 0], [3, 0]]).value)
    assert fleiss_kappa([[3, 0], [0, 2], [4, 0]]).value == 1  # items may have different numbers of readers
    assert np.isnan(fleiss_kappa([[1, 0], [0, 1]]).value)


def test_with_two_categories_weighted_and_plain_kappa_are_the_same():
    table = [[20, 5], [10, 15]]
    assert weighted_kappa(table).value == pytest.approx(cohen_kappa(table).value) == pytest.approx(0.4)


def test_the_interval_covers_the_true_kappa_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    share = np.array([[0.4, 0.1], [0.1, 0.4]])  # kappa 0.6
    tables = rng.multinomial(150, share.ravel(), 400).reshape(-1, 2, 2)
    covered = [k.low <= 0.6 <= k.high for k in map(cohen_kappa, tables)]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_tables_that_are_none_are_refused():
    for table in ([[1, 2]], [[0, 0], [0, 0]], [[1, -1], [0, 2]]):
        with pytest.raises(DecisionError, match="square table"):
            cohen_kappa(table)
    with pytest.raises(DecisionError, match="quadratic or linear"):
        weighted_kappa(SKIN, weights="cubic")
    with pytest.raises(DecisionError, match="items by categories"):
        fleiss_kappa([[]])


def _ratings(reader: str, scores: dict[int, int], **more) -> list[Rating]:
    return [
        Rating(
            case_id=f"c{version}",
            segmentation_id=version,
            reader=reader,
            score=score,
            seconds=1.0,
            rated_at=datetime(2026, 1, 1, tzinfo=UTC),
            app_version="1",
            **more,
        )
        for version, score in scores.items()
    ]


def test_agreement_of_a_study_counts_ratings_that_stand_and_can_be_read():
    ada = {**{i: 4 for i in range(20)}, **{i: 1 for i in range(20, 30)}, 30: 0, 31: 4}
    bob = {**{i: 3 for i in range(20)}, **{i: 2 for i in range(20, 29)}, 29: 4, 30: 0, 31: 0}
    withdrawn = _ratings("Bob", {5: 1}, taken_back=True)
    document = rating_agreement([*_ratings("Ada", ada), *_ratings("Bob", bob), *withdrawn, *_ratings("Cy", {40: 2})])
    assert document["readers"] == {"Ada": 32, "Bob": 32, "Cy": 1}
    assert (document["n_versions"], document["n_shared"]) == (33, 32)
    pair = next(p for p in document["pairs"] if p["readers"] == ["Ada", "Bob"])
    assert pair["n_shared"] == 30 and pair["good"]["value"] == pytest.approx(cohen_kappa([[9, 1], [0, 20]]).value)
    assert pair["scale"]["n_items"] == 30 and pair["scale"]["value"] < pair["good"]["value"]
    assert document["readable_agreement"] == pytest.approx(31 / 32)
    assert document["to_settle"] == [29, 31]
    assert next(p for p in document["pairs"] if "Cy" in p["readers"])["good"] is None
    json.dumps(document, allow_nan=False)


def test_a_study_without_ratings_has_nothing_to_agree_on():
    document = rating_agreement([])
    assert document["pairs"] == [] and document["good"]["value"] is None and document["readable_agreement"] is None


def test_the_bootstrap_interval_of_kappa_is_near_the_large_sample_one_for_many_items():
    low, high = bootstrap_kappa(SKIN)
    assert (low, high) == pytest.approx((0.2030, 0.4868), abs=0.02)
    assert bootstrap_kappa(SKIN) == (low, high) and bootstrap_kappa(SKIN, level=0.5)[0] > low


def test_the_bootstrap_says_nothing_where_there_is_no_kappa():
    assert bootstrap_kappa([[5, 0], [0, 0]]) == (None, None)
    assert bootstrap_kappa([[1, 0], [0, 0]]) == (None, None)
    assert bootstrap_kappa([[4, 0], [0, 4]]) == (1.0, 1.0)


def test_cohens_kappa_is_the_one_of_an_established_library():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn, a check only, is not installed")
    rng = np.random.default_rng(4)
    a = rng.integers(0, 3, 60)
    b = np.where(rng.random(60) < 0.6, a, rng.integers(0, 3, 60))
    table = metrics.confusion_matrix(a, b)
    assert cohen_kappa(table).value == pytest.approx(metrics.cohen_kappa_score(a, b))
