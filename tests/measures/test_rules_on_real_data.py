"""Rules against labels that experts drew: the one annotation error that is known, and how often they cry wolf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.measures.rules import check_segmentation


def _sunnybrook(file: Path) -> list[str]:
    image = SimpleITK.ReadImage(str(file))
    labels = SimpleITK.GetArrayFromImage(image).astype(np.uint8)
    frames = [t for t in range(len(labels)) if labels[t].any()]
    es, ed = frames  # the myocardium is drawn at end-diastole alone, the later of the two
    flags = check_segmentation(
        labels,
        PRESETS["sunnybrook"],
        image.GetSpacing()[2::-1],
        frames=frames,
        ed_frame=ed,
        es_frame=es,
    )
    assert all(set(f.frames) <= {ed, es} for f in flags)
    return [f.rule for f in flags]


def test_the_misplaced_contours_of_sunnybrook_are_flagged_and_the_other_four_cases_are_not(shared_data: Path):
    files = sorted((shared_data / "sunnybrook_cine").glob("*_gt_crop.nii.gz"))
    assert len(files) == 5
    found = {file.name[:10]: _sunnybrook(file) for file in files}
    assert found.pop("SCD0000501") == ["open-cavity"]
    assert found == {f"SCD0000{n}01": [] for n in range(1, 5)}


@pytest.fixture(scope="module")
def acdc_flags(shared_data: Path) -> dict[str, list[str]]:
    found = {}
    for folder in sorted((shared_data / "acdc_cine").glob("patient*")):
        images = [SimpleITK.ReadImage(str(f)) for f in sorted(folder.glob("*_gt.nii.gz"))]
        labels = np.stack([SimpleITK.GetArrayFromImage(i) for i in images]).astype(np.uint8)  # ED, ES
        flags = check_segmentation(labels, PRESETS["acdc"], images[0].GetSpacing()[::-1], ed_frame=0, es_frame=1)
        found[folder.name] = [f.rule for f in flags]
    return found


def test_rules_on_shape_never_cry_wolf_on_experts_labels_of_acdc(acdc_flags: dict[str, list[str]]):
    assert len(acdc_flags) == 31
    shape = {"missing-frames", "slice-gaps", "holes", "contact", "open-cavity"}
    assert not [case for case, rules in acdc_flags.items() if shape & set(rules)]


def test_rules_on_curves_cry_wolf_on_one_in_seven_of_these_cropped_stacks_at_most(acdc_flags: dict[str, list[str]]):
    """The crop cuts off base and apex, and some right ventricles at its border: see benchmarks/measures.py."""
    assert len([case for case, rules in acdc_flags.items() if rules]) <= 31 / 7
