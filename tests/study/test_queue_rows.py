from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from study_factory import SHAPE, decide, make_labels, make_model, propose

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import StudyError
from napari_ssl.study import Study, schema

ALL = tuple(range(SHAPE[0]))


def _row(study: Study, case_id: str, reader: str | None = "Ada"):
    return next(r for r in study.queue_rows(reader) if r.case_id == case_id)


def test_rows_tell_of_the_newest_proposal(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1", "m1", round_=2)
    propose(study, "p0", 1)
    newest = propose(study, "p0", 2)
    study.set_measures(
        newest.id,
        {
            "mean_confidence": np.float32(0.75),
            "disagreement": 0.125,
            "indices": {"lv_ef_percent": 55.5, "rv_ef_percent": math.nan},
        },
    )
    row = _row(study, "p0")
    assert (row.proposal_id, row.model_id, row.round, row.has_reference) == (newest.id, "m1", 2, True)
    assert (row.mean_confidence, row.disagreement, row.lv_ef, row.rv_ef) == (0.75, 0.125, 55.5, None)
    assert row.foreground_fraction == pytest.approx(np.count_nonzero(make_labels(2, ALL)) / np.prod(SHAPE))
    assert (row.subject_id, row.group, row.state) == ("s0", "NOR", ReviewState.UNREVIEWED)
    bare = _row(study, "p5")
    assert bare.proposal_id is bare.model_id is bare.mean_confidence is bare.lv_ef is None and not bare.has_reference


def test_rows_agree_with_the_state_and_labels_of_each_case(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1", "m1")
    for i in range(5):
        study.set_measures(propose(study, f"p{i}", 1).id, {"indices": {"lv_ef_percent": 10.0 + i}})
    for i, verdict in enumerate((Verdict.ACCEPT, Verdict.REJECT, Verdict.DEFER)):
        study.record(decide(study.proposal(f"p{i}"), verdict, reader="Bob" if i == 2 else "Ada"))
    for i in (0, 1):
        study.set_measures(propose(study, f"p{i}", 2).id, {"indices": {"lv_ef_percent": 20.0 + i}})
    corrected = study.add_segmentation(
        "p3", make_labels(3, ALL), source=Source.CORRECTED, frames=ALL, reader="Ada", parent_id=None
    )
    study.set_measures(corrected.id, {"indices": {"lv_ef_percent": 33.0}})
    study.record(decide(corrected, Verdict.CORRECT))
    for reader in ("Ada", "Bob", None):
        for row in study.queue_rows(reader):
            assert row.state is study.review_state(row.case_id, reader)[0]
            shown = study.current(row.case_id, reader)
            indices = study.measures(shown.id).get("indices", {}) if shown else {}
            assert row.lv_ef == indices.get("lv_ef_percent")
    assert [r.reader_of_decision for r in study.queue_rows("Ada")] == ["Ada", None, "Bob", "Ada", None, None]


def test_measures_are_kept_as_strict_json(study: Study):
    reference = study.reference("p0")
    assert study.measures(reference.id) == {}
    study.set_measures(reference.id, {"curves": {"LV": np.array([1.0, np.nan])}, "frames": (0, 2)})
    assert study.measures(reference.id) == {"curves": {"LV": [1.0, None]}, "frames": [0, 2]}
    with pytest.raises(StudyError, match=r"mean_confidence must be a number, got 'high'"):
        study.set_measures(reference.id, {"mean_confidence": "high"})
    with pytest.raises(StudyError, match=r"cannot be stored as JSON"):
        study.set_measures(reference.id, {"x": object()})


def test_ten_thousand_cases_take_a_handful_of_queries(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1", "m1")
    at, n = datetime.now(UTC), 10_000
    with study._database.write() as connection:
        case = dict(connection.execute(sa.select(schema.cases).limit(1)).mappings().one())
        version = dict(connection.execute(sa.select(schema.segmentations).limit(1)).mappings().one())
        decided = {"case_id": "", "verdict": "accept", "reader": "Ada", "decided_at": at, "seconds": 1.0}
        decided |= {"label_hash": version["label_hash"], "frames": [], "slices": [], "reason": "", "comment": ""}
        connection.execute(sa.insert(schema.subjects), [{"id": f"n{i}", "split": "train"} for i in range(n)])
        connection.execute(sa.insert(schema.cases), [{**case, "id": f"n{i}", "subject_id": f"n{i}"} for i in range(n)])
        more = {"source": "model", "model_id": "m1"}
        versions = [{**version, **more, "id": 100 + i, "case_id": f"n{i}"} for i in range(n)]
        connection.execute(sa.insert(schema.segmentations), versions)
        connection.execute(
            sa.insert(schema.decisions),
            [{**decided, "case_id": f"n{i}", "segmentation_id": 100 + i} for i in range(n)],
        )
    asked = []

    def note(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        rows = study.queue_rows("Ada")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert len(rows) == n + 6 and sum(r.state is ReviewState.ACCEPTED for r in rows) == n
    assert len([q for q in asked if q.lstrip().upper().startswith("SELECT")]) < 10
