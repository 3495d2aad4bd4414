from __future__ import annotations

import json

import pytest

from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.core.quality import (
    CurveExample,
    CurveItem,
    QcParameters,
    QcScoringSpec,
    QcTrainingSpec,
    curve_kind,
    simulated_count,
)
from napari_ssl.core.training import spec_from_dict
from napari_ssl.errors import CatalogueError, SpecError

CURVES = {"LV": (100.0, None, 50.0), "RV": (110.0, 90.0, 60.0)}


def example(n, good, source="rated"):
    return CurveExample(id=f"e{n}", subject_id=f"s{n}", curves=CURVES, good=good, source=source)


def order(**fields):
    values = {"curve_kind": "short-axis", "label_scheme": PRESETS["acdc"], "n_simulated": 10, **fields}
    return QcTrainingSpec(**values)


def test_the_label_scheme_says_which_curves_there_are():
    assert curve_kind(PRESETS["acdc"]) == curve_kind(PRESETS["sunnybrook"]) == "short-axis"
    assert curve_kind(PRESETS["aorta"]) == "aorta"
    with pytest.raises(SpecError, match="neither ventricle nor aorta"):
        curve_kind(LabelScheme.parse("1=liver"))


def test_orders_survive_json():
    training = order(examples=(example(1, True), example(2, False)), parameters={"width": 8})
    scoring = QcScoringSpec(
        classifier_id="c", weights_path="/w", weights_hash="h", card={"id": "c"}, label_scheme=PRESETS["acdc"],
        items=(CurveItem(segmentation_id=3, case_id="a", curves=CURVES),),
    )  # fmt: skip
    for spec in (training, scoring):
        again = spec_from_dict(json.loads(json.dumps(spec.to_dict())))
        assert again == spec
        assert again.hash == spec.hash


def test_the_hash_names_what_decides_the_result():
    assert order().hash != order(seed=1).hash
    assert order().hash != order(parameters={"width": 8}).hash
    assert order(device="cpu").hash == order(device="auto").hash


def test_simulated_examples_give_way_to_ratings_of_both_kinds():
    parameters = QcParameters(max_simulated=1000, enough_ratings=400)
    good = [example(i, True) for i in range(300)]
    bad = [example(1000 + i, False) for i in range(200)]
    assert simulated_count([], parameters) == 1000
    assert simulated_count(good, parameters) == 1000
    assert simulated_count([*good, *bad[:100]], parameters) == 500
    assert simulated_count([*good, *bad], parameters) == 0
    assert simulated_count([example(i, i % 2 == 0, "decided") for i in range(400)], parameters) == 1000


def test_orders_that_cannot_be_are_refused():
    with pytest.raises(SpecError, match=r"good and erroneous.*tab Rate, or napari-ssl qc ratings import"):
        order(n_simulated=0, examples=(example(1, True),))
    with pytest.raises(SpecError, match="twice"):
        order(examples=(example(1, True), example(1, False)))
    with pytest.raises(SpecError, match="one of short-axis"):
        order(curve_kind="liver")
    with pytest.raises(SpecError, match=r"'acdc' has none of aorta, .* choose the kind short-axis"):
        order(curve_kind="aorta")
    with pytest.raises(CatalogueError, match="no parameter"):
        order(parameters={"depth": 3})
    with pytest.raises(SpecError, match="one length"):
        CurveExample(id="x", subject_id="x", curves={"LV": (1.0, 2.0), "RV": (1.0,)}, good=True)
    with pytest.raises(SpecError, match="two frames"):
        CurveItem(segmentation_id=1, case_id="x", curves={"LV": (1.0,)})
    with pytest.raises(SpecError, match="malformed"):
        spec_from_dict({"kind": "qc-train"})
