"""What other processes do to a study in the tests of ratings; a module of its own, so that `spawn` can import it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from napari_ssl.core.rating import Rating
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.study import Study


def rate(segmentation: Segmentation, score: int = 4, reader: str = "Ada", **more) -> Rating:
    return Rating(
        case_id=segmentation.case_id,
        segmentation_id=segmentation.id,
        reader=reader,
        score=score,
        seconds=3.0,
        rated_at=datetime.now(UTC),
        app_version="0",
        **more,
    )


def rate_many(folder: Path, reader: str, n: int) -> None:
    with Study.open(folder) as study:
        segmentation = study.proposal("p5")
        for i in range(n):
            study.add_rating(rate(segmentation, i % 5, reader=reader))
