from __future__ import annotations

import dataclasses

import pytest

from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.preprocessing import Preprocessing, changed_preprocessing, preprocessing_from_texts
from napari_ssl.errors import SpecError
from napari_ssl.study.study import Study


def test_cards_from_before_3d_load_and_mean_what_they_meant():
    card = {"pixel_spacing_mm": 1.8, "crop_yx": [160, 160], "low_percentile": 1.0, "high_percentile": 99.0}
    loaded = Preprocessing(**card)
    assert loaded == Preprocessing(pixel_spacing_mm=1.8, crop_yx=(160, 160), low_percentile=1.0, high_percentile=99.0)
    assert (loaded.dimensions, loaded.intensity, loaded.slice_spacing_mm) == (2, "percentile", 0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_low": "abc"}, "window_low must be a number, got 'abc'"),
        ({"low_percentile": None}, "low_percentile must be a number"),
        ({"overlap": True}, "overlap must be a number"),
        ({"crop_yx": "32x32"}, "crop_yx must be two multiples of 16 .* got '32x32'"),
        ({"crop_yx": 32}, "crop_yx must be two multiples of 16"),
        ({"crop_yx": (float("nan"), 32)}, "crop_yx must be two multiples of 16"),
        ({"dimensions": 4}, "dimensions must be 2"),
        ({"dimensions": True}, "dimensions must be 2"),
        ({"patch_z": 10}, "patch_z must be a multiple of 4"),
        ({"slice_spacing_mm": -1}, "slice_spacing_mm must be 0"),
        ({"intensity": "zscore"}, "percentile, z-score, three-sd, window"),
        ({"window_low": 300.0}, "window_low must be below"),
        ({"window_high": float("nan")}, "window_low must be below"),
        ({"overlap": 1.0}, r"overlap must be in \[0, 0.9\]"),
        ({"foreground_share": 1.5}, "foreground_share must be"),
    ],
)
def test_impossible_values_are_refused_by_name(values, message):
    with pytest.raises(SpecError, match=message):
        Preprocessing(**values)


def test_words_are_read_by_type():
    words = ("dimensions=3", "patch_z=32", "crop_yx=96x128", "intensity=z-score", "overlap=0.25")
    assert preprocessing_from_texts(words) == {
        "dimensions": 3, "patch_z": 32, "crop_yx": (96, 128), "intensity": "z-score", "overlap": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "message"),
    [("depth=3", "NAME one of: pixel_spacing_mm"), ("overlap", "NAME=VALUE"), ("patch_z=x", "type int"),
     ("crop_yx=a", "two sizes")],
)  # fmt: skip
def test_words_that_cannot_be_read_are_named(word, message):
    with pytest.raises(SpecError, match=message):
        preprocessing_from_texts((word,))


def test_changed_values_are_checked():
    changed = changed_preprocessing(Preprocessing(), {"dimensions": 3, "patch_z": 8})
    assert changed.patch_zyx == (8, 224, 224)
    with pytest.raises(SpecError, match="no preprocessing value 'depth'; there are: pixel_spacing_mm"):
        changed_preprocessing(Preprocessing(), {"depth": 3})


def test_a_study_keeps_every_value(tmp_path):
    preprocessing = Preprocessing(
        dimensions=3, patch_z=32, crop_yx=(96, 128), slice_spacing_mm=2.5, intensity="window", window_low=-100.0,
        window_high=300.0, overlap=0.25, foreground_share=0.5, pixel_spacing_mm=1.5, low_percentile=0.0,
        high_percentile=95.0,
    )  # fmt: skip
    Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"], preprocessing=preprocessing).close()
    with Study.open(tmp_path / "s") as opened:
        assert dataclasses.asdict(opened.preprocessing) == dataclasses.asdict(preprocessing)


def test_presets_bring_networks_and_preprocessing_that_exist():
    for entry in STRATEGIES.values():
        assert set(entry.preset_network) <= set(entry.presets)
        assert set(entry.preset_preprocessing) <= set(entry.presets)
        for values in entry.preset_preprocessing.values():
            changed_preprocessing(Preprocessing(), values)
