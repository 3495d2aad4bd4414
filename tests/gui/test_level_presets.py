import numpy as np
import pytest

from napari_ssl.gui.level_presets import CT_WINDOWS, level_presets
from napari_ssl.gui.overlay_panel import matching


def presets(image):
    return level_presets(image, (float(image.min()), float(image.max())))


def test_mr_is_shown_by_percentiles_of_its_own_values():
    image = np.arange(10_001, dtype=np.uint16).reshape(1, 1, 73, 137)
    found = {p.name: p.limits for p in presets(image)}
    assert list(found) == ["0.5–99.5 %", "2–98 %", "0–95 %", "Full range"]
    assert found["2–98 %"] == pytest.approx((200, 9800), abs=1)
    assert found["0–95 %"] == pytest.approx((0, 9500), abs=1)
    assert found["Full range"] == (0, 10_000)


def test_ct_in_hounsfield_units_begins_with_soft_tissue():
    image = np.linspace(-1024, 1500, 1000).astype(np.int16).reshape(1, 10, 10, 10)
    found = presets(image)
    assert [p.name for p in found[:4]] == [name for name, _, _ in CT_WINDOWS]
    assert found[0].limits == (-150, 250)
    assert {p.name: p.limits for p in found}["Lung"] == (-1350, 150)
    assert {p.name: p.limits for p in found}["Bone"] == (-500, 1300)
    assert {p.name: p.limits for p in found}["Liver"] == (-45, 105)
    assert found[-1].limits == (-1024, 1500)


def test_a_ct_that_was_mapped_to_8_bits_has_no_hounsfield_units():
    image = np.linspace(0, 255, 1000).astype(np.uint8).reshape(1, 10, 10, 10)
    assert presets(image)[0].name == "0.5–99.5 %"


def test_a_constant_image_has_no_empty_window():
    assert all(p.low < p.high for p in presets(np.full((1, 1, 4, 4), 7, np.int16)))


def test_the_preset_in_use_is_found_and_own_limits_are_none():
    found = presets(np.arange(1000, dtype=np.int16).reshape(1, 10, 10, 10))
    assert matching(found, found[1].limits) == 1
    assert matching(found, (3.0, 4.0)) is None
