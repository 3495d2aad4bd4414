from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.errors import GeometryError
from napari_ssl.phantom import KINDS, PhantomHeart, random_heart


def _integrate(heart: PhantomHeart, contraction: float) -> dict[str, float]:
    """Volumes in ml by integrating the boundaries over depth and direction on a fine grid."""
    theta = (np.arange(720) + 0.5) / 720 * 2 * np.pi - np.pi
    n = 600
    volumes = {"LV": 0.0, "Myo": 0.0, "RV": 0.0}
    step = heart.length_mm / n
    for depth in (np.arange(n) + 0.5) * step:
        part = heart.section(depth, contraction)
        endo = part.lv_r2 * (
            1
            + heart.contour_modulation(theta)
            + heart.sector_akinesia * contraction * part.sector * heart.sector_modulation(theta)
        )
        wall = part.wall_r2 * (1 + heart.sector_wall * part.sector * heart.sector_modulation(theta))
        crescent = part.rv_r2 * np.maximum(1 - (theta / part.rv_half_angle) ** 2, 0)
        assert endo.min() >= 0
        assert wall.min() >= 0
        for name, r2 in (("LV", endo), ("Myo", wall), ("RV", crescent)):
            volumes[name] += float(r2.mean()) * np.pi * step / 1000
    return volumes


@pytest.mark.parametrize("kind", KINDS)
def test_closed_form_volumes_equal_the_integral_over_the_boundaries(kind: str) -> None:
    heart = random_heart(np.random.default_rng(5), kind)
    for contraction in (0.0, 0.6, 1.0):
        found = _integrate(heart, contraction)
        for name, volume in heart.volumes_ml(contraction).items():
            assert found[name] == pytest.approx(float(volume), rel=0.003), (name, contraction)


@pytest.mark.parametrize("kind", KINDS)
def test_the_myocardium_keeps_its_volume_and_thickens(kind: str) -> None:
    heart = random_heart(np.random.default_rng(1), kind)
    assert np.ptp(heart.volumes_ml(heart.frame_contraction(25))["Myo"]) == 0
    ed, es = heart.section(0.4 * heart.length_mm, 0.0), heart.section(0.4 * heart.length_mm, 1.0)
    thickness = [float(np.sqrt(s.lv_r2 + s.wall_r2) - np.sqrt(s.lv_r2)) for s in (ed, es)]
    assert thickness[1] > thickness[0]


def test_contraction_runs_from_ed_to_es_and_back_without_jumps() -> None:
    heart = random_heart(np.random.default_rng(2), "normal")
    phase = np.linspace(0, 1, 500)
    s = heart.contraction(phase)
    assert s[0] == 0
    assert s[-1] == pytest.approx(0, abs=1e-9)
    assert s.max() == pytest.approx(1, abs=1e-4)
    assert phase[s.argmax()] == pytest.approx(heart.es_phase, abs=0.005)
    assert np.abs(np.diff(s)).max() < 0.02
    assert np.all(np.diff(s[phase < heart.es_phase]) >= 0)


def test_kinds_differ_as_the_diseases_do() -> None:
    hearts = {k: [random_heart(np.random.default_rng(i), k) for i in range(20)] for k in KINDS}

    def mean(kind: str, what) -> float:
        return float(np.mean([what(h) for h in hearts[kind]]))

    def ef(h: PhantomHeart) -> float:
        return 100 * (1 - h.lv_esv_ml / h.lv_edv_ml)

    assert 55 < mean("normal", ef) < 68
    assert mean("dilated", ef) < 40
    assert mean("infarcted", ef) < 50
    assert mean("dilated", lambda h: h.lv_edv_ml) > 1.4 * mean("normal", lambda h: h.lv_edv_ml)
    assert mean("hypertrophic", lambda h: h.myocardium_ml) > 1.4 * mean("normal", lambda h: h.myocardium_ml)
    assert all(h.sector_akinesia > 0 for h in hearts["infarcted"])
    for h in (h for same in hearts.values() for h in same):
        assert (h.rv_edv_ml - h.rv_esv_ml) == pytest.approx(h.lv_edv_ml - h.lv_esv_ml, rel=0.07)


def test_the_same_seed_gives_the_same_heart() -> None:
    assert random_heart(np.random.default_rng(3), "normal") == random_heart(np.random.default_rng(3), "normal")


def test_impossible_hearts_are_refused() -> None:
    sizes = {"kind": "normal", "rv_edv_ml": 100, "rv_esv_ml": 40, "myocardium_ml": 90, "length_mm": 70}
    with pytest.raises(GeometryError, match="lv_esv_ml must be in"):
        PhantomHeart(lv_edv_ml=50, lv_esv_ml=60, **sizes)
    with pytest.raises(GeometryError, match="contour"):
        PhantomHeart(lv_edv_ml=100, lv_esv_ml=60, contour=((2, 0.7, 0.0),), **sizes)
    with pytest.raises(ValueError, match="athletic"):
        random_heart(np.random.default_rng(0), "athletic")
