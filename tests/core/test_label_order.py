from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_order import LabelOrder, LabelProposal
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError, SchemeError

ACDC, UKBB = PRESETS["acdc"], PRESETS["ukbb"]
FROM_ACDC = LabelProposal.of_scheme(ACDC, "the test")


def test_the_same_order_needs_no_word_and_another_is_never_taken_over():
    assert LabelOrder.confirmed(None, FROM_ACDC, ACDC, "a") == LabelOrder.of_study(ACDC)
    assert LabelOrder.confirmed(None, None, UKBB, "a") == LabelOrder.of_study(UKBB)
    with pytest.raises(
        LabelError, match=r"the test says 1=RV, 2=Myo, 3=LV, the study has 1=LV.*--labels 1=RV,2=Myo,3=LV"
    ):
        LabelOrder.confirmed(None, FROM_ACDC, UKBB, "a")
    given = LabelOrder.parse("study", UKBB)
    assert LabelOrder.confirmed(given, FROM_ACDC, UKBB, "a") is given


def test_an_order_maps_values_to_those_of_the_study():
    order = LabelOrder.parse("1=RV, 2=Myo, 3=LV, 9=-", UKBB)
    assert order.apply(np.array([[0, 1, 2, 3, 9]], np.uint8), "a").tolist() == [[0, 3, 2, 1, 0]]


def test_two_values_may_become_one_structure():
    order = LabelOrder.parse("1=Aorta,2=Aorta", PRESETS["aorta"])
    assert order.apply(np.array([0, 1, 2], np.uint8), "a").tolist() == [0, 1, 1]


def test_a_value_that_was_not_named_is_refused_with_its_count():
    with pytest.raises(LabelError, match=r"a: label value 4 \(2 voxels\) is not in the order.*--labels"):
        LabelOrder.parse("1=RV", UKBB).apply(np.array([4, 4, 1], np.uint8), "a")


@pytest.mark.parametrize("text", ["", "LV", "1=Kidney", "1=LV,1=RV", "0=LV", "300=LV", "1=LV;2=RV"])
def test_orders_that_cannot_be_are_refused(text):
    with pytest.raises(SchemeError):
        LabelOrder.parse(text, UKBB)


@pytest.mark.parametrize(
    ("names", "agrees"),
    [
        (("LV cavity", "LV myocardium", "RV cavity"), True),
        (("left ventricle", "myocardium", "right_ventricle"), True),
        (("right ventricle", "myocardium", "left ventricle"), False),
        (("class 1", "class 2", "class 3"), False),
    ],
)
def test_names_are_known_by_their_usual_words_and_never_by_their_place(names, agrees):
    assert LabelProposal(meanings=tuple(enumerate(names, 1)), source="x").agrees_with(UKBB) is agrees
