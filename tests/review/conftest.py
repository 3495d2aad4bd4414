"""The tiny study of tests/study, for rooms above it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "study"))

from study_factory import make_items, make_model

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.study import Study


@pytest.fixture
def team_study(tmp_path: Path) -> Iterator[Study]:
    """Six cases p0 … p5, five with an expert's labels at frames 0 and 2, a model m1, no proposals yet."""
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"], name="Team") as made:
        assert not made.add_cases(make_items(tmp_path / "images")).failed
        make_model(made, tmp_path / "m1")
        yield made
