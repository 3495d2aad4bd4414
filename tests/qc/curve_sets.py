"""Curve sets for the tests of quality control: good cycles, and some with a frame that is wrong."""

from __future__ import annotations

import numpy as np

from napari_ssl.core.quality import CurveExample

SMALL = {"width": 8, "n_points": 16, "epochs": 30, "batch_size": 16, "folds": 2, "learning_rate": 0.02}


def beat(n_frames=20, edv=120.0, ef=0.55, shift=0):
    """LV, RV and myocardium of a good cycle."""
    phase = np.roll((1 - np.cos(2 * np.pi * np.arange(n_frames) / n_frames)) / 2, shift)
    return {"LV": edv * (1 - ef * phase), "RV": 1.2 * edv * (1 - 0.8 * ef * phase), "Myo": np.full(n_frames, 100.0)}


def with_spike(curves, frame, structure="LV", factor=1.8):
    values = curves[structure].copy()
    values[frame] *= factor
    return {**curves, structure: values}


def examples(n=60, seed=0, **fields):
    """Every second one has a spike in a frame and structure of its own."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        curves = beat(int(rng.integers(14, 30)), rng.uniform(80, 200), rng.uniform(0.3, 0.65))
        if i % 2:
            name = str(rng.choice(list(curves)))
            curves = with_spike(curves, int(rng.integers(len(curves["LV"]))), name, rng.choice([0.2, 2.0]))
        made.append(
            CurveExample(
                id=f"e{i}", subject_id=f"s{i // 2}", curves={k: tuple(v) for k, v in curves.items()}, good=i % 2 == 0,
                **fields,
            )
        )  # fmt: skip
    return made
