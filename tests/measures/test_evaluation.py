from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.measures.evaluation import case_document, compare, summarise
from napari_ssl.measures.statistics import bootstrap_interval

pytest.importorskip("monai", reason="overlap is computed by MONAI")
ACDC = PRESETS["acdc"]
SPACING = (10.0, 2.0, 2.0)


def _heart(lv_rows: tuple[int, int]) -> np.ndarray:
    """Two frames; the left ventricle is 10 columns wide and has the given number of rows in ED and ES."""
    labels = np.zeros((2, 2, 24, 24), np.uint8)
    for frame, rows in enumerate(lv_rows):
        labels[frame, :, 2 : 2 + rows, 2:12] = 3
        labels[frame, :, 2:12, 14:18] = 2
        labels[frame, :, 14 : 14 + rows, 2:8] = 1
    return labels


def _document(case_id: str, lv_rows: tuple[int, int], subject_id: str | None = None) -> dict:
    return case_document(case_id, _heart(lv_rows), _heart((10, 4)), ACDC, SPACING, frames=[0, 1], subject_id=subject_id)


def test_errors_of_a_case_are_proposal_minus_reference() -> None:
    document = _document("a", (9, 4))
    assert document["dice"]["LV"] == pytest.approx((2 * 9 / 19 + 1) / 2)
    assert document["dice"]["Myo"] == 1.0
    assert document["edv_error_ml"]["LV"] == pytest.approx(-20 * 0.04)
    assert document["esv_error_ml"]["LV"] == pytest.approx(0)
    assert document["ef_error_points"]["LV"] == pytest.approx(100 * (5 / 9 - 6 / 10))
    assert document["ef_abs_error_points"]["LV"] == pytest.approx(100 * (6 / 10 - 5 / 9))
    assert document["reference_indices"]["lv_ef_percent"] == pytest.approx(60)
    assert document["frames"]["0"]["LV"]["dice"] == pytest.approx(2 * 9 / 19)


def test_documents_are_strict_json_even_where_an_index_does_not_exist() -> None:
    document = case_document("a", _heart((0, 0)), _heart((10, 4)), ACDC, SPACING, frames=[0, 1])
    assert document["ef_error_points"]["LV"] is None  # nothing found in ED: no ejection fraction
    assert document["dice"]["LV"] == 0.0
    static = case_document("b", _heart((9, 9))[:1], _heart((10, 4))[:1], ACDC, SPACING, frames=[0])
    assert static["ef_error_points"] == {}
    json.dumps(summarise([document, static]), allow_nan=False)


def test_mean_and_deviation_are_over_cases() -> None:
    documents = [_document("a", (10, 4)), _document("b", (9, 4))]
    summary = summarise(documents)
    lv = [d["dice"]["LV"] for d in documents]
    assert summary["n"] == 2
    assert summary["mean"]["dice"]["LV"] == pytest.approx(np.mean(lv))
    assert summary["sd"]["dice"]["LV"] == pytest.approx(np.std(lv, ddof=1))
    assert summary["mean"]["mean_dice"] == pytest.approx(np.mean(list(summary["mean"]["dice"].values())))
    assert summarise(documents[:1])["sd"]["dice"]["LV"] is None


def test_comparison_is_paired_and_finds_the_better_model() -> None:
    old = summarise([_document(f"s{i}", (8, 5)) for i in range(6)])
    new = summarise([_document(f"s{i}", (10 - (i == 5), 4)) for i in reversed(range(6))])
    result = compare(old, new)
    lv = result["dice"]["LV"]
    assert result["n_subjects"] == 6
    assert lv["difference"] == pytest.approx(lv["new"] - lv["old"])
    assert 0 < lv["low"] <= lv["difference"] <= lv["high"]
    assert (lv["better"], lv["worse"], lv["verdict"]) == (6, 0, "better")
    assert result["hd95_mm"]["LV"]["verdict"] == "better"  # fewer millimetres
    assert result["ef_abs_error_points"]["LV"]["difference"] < 0
    assert compare(new, old)["dice"]["LV"]["verdict"] == "worse"
    assert result == compare(old, new)


def test_equal_models_are_undecided() -> None:
    summary = summarise([_document(f"s{i}", (9, 4)) for i in range(3)])
    lv = compare(summary, summary)["dice"]["LV"]
    assert (lv["difference"], lv["low"], lv["high"], lv["verdict"]) == (0.0, 0.0, 0.0, "undecided")


def test_cases_of_one_subject_count_once() -> None:
    old = summarise([_document("a1", (8, 4), "a"), _document("a2", (8, 4), "a"), _document("b", (8, 4), "b")])
    new = summarise([_document("a1", (10, 4), "a"), _document("a2", (10, 4), "a"), _document("b", (8, 4), "b")])
    result = compare(old, new)
    gain = new["cases"][0]["dice"]["LV"] - old["cases"][0]["dice"]["LV"]
    assert result["n_subjects"] == 2
    assert result["dice"]["LV"]["difference"] == pytest.approx(gain / 2)


def test_one_subject_has_no_interval() -> None:
    summary = summarise([_document("a", (9, 4))])
    lv = compare(summary, summary)["dice"]["LV"]
    assert (lv["low"], lv["high"]) == (None, None)


def test_models_without_a_common_case_cannot_be_compared() -> None:
    with pytest.raises(LabelError, match="no case in common"):
        compare(summarise([_document("a", (9, 4))]), summarise([_document("b", (9, 4))]))


def test_bootstrap_interval_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 100)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert bootstrap_interval(values) == (low, high)
