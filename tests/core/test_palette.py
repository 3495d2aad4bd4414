"""Colours differ for readers with each kind of colour-blindness: CIEDE2000 after Machado, Oliveira & Fernandes 2009."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS, LabelScheme, Structure
from napari_ssl.core.palette import OTHER_COLOURS

color = pytest.importorskip("skimage.color")

VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Matrices of table 1 at severity 1, for linear RGB."""


def seen(colour: str, vision: str) -> np.ndarray:
    """CIELAB of ``#RRGGBB`` as somebody with this vision sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISIONS[vision]) @ linear, 0, 1)
    return color.rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def least_difference(colours, vision: str) -> float:
    return min(
        float(color.deltaE_ciede2000(seen(a, vision), seen(b, vision))) for a, b in itertools.combinations(colours, 2)
    )


def test_the_simulation_confuses_what_is_confused():
    """Red and green of the same lightness fall together in deuteranopia and stay apart in normal vision."""
    assert least_difference(("#C0504D", "#7F7F33"), "normal") > 25
    assert least_difference(("#C0504D", "#7F7F33"), "deuteranopia") < 10
    assert least_difference(("#FFFFFF", "#000000"), "protanopia") == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("vision", VISIONS)
def test_structures_of_a_heart_and_thirteen_organs_can_be_told_apart(vision):
    heart = [s.colour for s in PRESETS["acdc"].structures]
    aorta = PRESETS["aorta"].structures[0].colour
    assert least_difference([*heart, aorta], vision) >= 12
    assert len(OTHER_COLOURS) == 13
    assert least_difference(OTHER_COLOURS, vision) >= 14


def test_the_organs_of_a_scheme_have_colours_of_their_own():
    scheme = LabelScheme(name="organs", structures=tuple(Structure(value=v, name=f"organ {v}") for v in range(1, 14)))
    assert len({s.colour for s in scheme.structures}) == 13
