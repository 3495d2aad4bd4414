"""Reasons for rejections: fit for what is shown, changed in one place."""

from __future__ import annotations

import pytest

from napari_ssl.core.decision import DEFAULT_REJECT_REASONS
from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.core.reasons import AORTA_REASONS, OTHER_REASONS, default_reject_reasons
from napari_ssl.errors import StudyError, StudyReadOnlyError
from napari_ssl.study.reasons import change_reject_reasons
from napari_ssl.study.study import Study


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (PRESETS["acdc"], DEFAULT_REJECT_REASONS),
        (PRESETS["sunnybrook"], DEFAULT_REJECT_REASONS),
        (PRESETS["aorta"], AORTA_REASONS),
        (LabelScheme.parse("1=prostate:other"), OTHER_REASONS),
    ],
)
def test_a_new_study_begins_with_reasons_for_its_organ(tmp_path, scheme, expected):
    assert default_reject_reasons(scheme) == expected and len(expected) <= 9
    with Study.create(tmp_path / "study", label_scheme=scheme) as study:
        assert study.reject_reasons == expected


def test_other_reasons_are_kept_and_read_again(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        other = change_reject_reasons(study, ["  Papillary   muscles ", "", "Other"])
        assert other == study.reject_reasons == ("Papillary muscles", "Other")
        assert study.label_scheme == PRESETS["acdc"]
    with Study.open(tmp_path / "study", read_only=True) as study:
        assert study.reject_reasons == ("Papillary muscles", "Other")
        with pytest.raises(StudyReadOnlyError):
            change_reject_reasons(study, ["x"])


@pytest.mark.parametrize("reasons", [[], ["  "], ["RV wrong", "rv  wrong"], ["x" * 81]])
def test_a_list_that_nobody_can_choose_from_is_refused(tmp_path, reasons):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        with pytest.raises(StudyError):
            change_reject_reasons(study, reasons)
        assert study.reject_reasons == DEFAULT_REJECT_REASONS
