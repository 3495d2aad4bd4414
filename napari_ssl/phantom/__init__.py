"""An analytic beating heart: short-axis cines whose volumes are known in closed form, for sample data and tests."""

from __future__ import annotations

from napari_ssl.phantom.aorta import AortaCase, PhantomAorta, random_aorta, render_aorta
from napari_ssl.phantom.cohort import (
    SAMPLE_SEED,
    SAMPLE_SIZE,
    CohortMember,
    make_sample_cohort,
    make_sample_member,
    write_sample_study_files,
)
from napari_ssl.phantom.heart import KINDS, HeartKind, PhantomHeart, random_heart
from napari_ssl.phantom.render import PhantomCase, Pose, render
from napari_ssl.phantom.surroundings import Appearance, Surroundings, random_appearance, random_surroundings

__all__ = [
    "KINDS",
    "SAMPLE_SEED",
    "SAMPLE_SIZE",
    "AortaCase",
    "Appearance",
    "CohortMember",
    "HeartKind",
    "PhantomAorta",
    "PhantomCase",
    "PhantomHeart",
    "Pose",
    "Surroundings",
    "make_sample_cohort",
    "make_sample_member",
    "random_aorta",
    "random_appearance",
    "random_heart",
    "random_surroundings",
    "render",
    "render_aorta",
    "write_sample_study_files",
]
