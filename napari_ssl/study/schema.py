"""The tables of ``study.db``. A change here needs a new file in ``migrations/versions`` (a test compares the two)."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

__all__ = [
    "GUARDED_TABLES",
    "UtcTime",
    "cases",
    "decisions",
    "job_events",
    "jobs",
    "metadata",
    "model_events",
    "models",
    "place_verdicts",
    "qc_classifier_events",
    "qc_classifiers",
    "qc_scores",
    "ratings",
    "reader_memory",
    "reading_tasks",
    "segmentations",
    "subjects",
]

GUARDED_TABLES = ("decisions", "model_events", "job_events", "ratings", "qc_classifier_events", "place_verdicts")
"""Tables that are only ever appended to; triggers refuse UPDATE and DELETE."""


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A point in time with zone, kept as ISO 8601 text in UTC (SQLite drops the zone of its own date type)."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """Write UTC text."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:
        """Read UTC text."""
        return None if value is None else datetime.fromisoformat(value)


metadata = sa.MetaData()

subjects = sa.Table(
    "subjects",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("split", sa.String, nullable=False),
    sa.Column("sex", sa.String),
    sa.Column("height_cm", sa.Float),
    sa.Column("weight_kg", sa.Float),
    sa.Column("birth_year", sa.Integer),
)

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("subject_id", sa.String, sa.ForeignKey("subjects.id"), nullable=False, index=True),
    sa.Column("image_path", sa.String, nullable=False),
    sa.Column("image_path_relative", sa.String),
    sa.Column("image_hash", sa.String, nullable=False, index=True),
    sa.Column("shape_tzyx", sa.JSON, nullable=False),
    sa.Column("spacing_zyx_mm", sa.JSON, nullable=False),
    sa.Column("geometry", sa.JSON, nullable=False),
    sa.Column("frame_interval_ms", sa.Float),
    sa.Column("ed_frame", sa.Integer),
    sa.Column("es_frame", sa.Integer),
    sa.Column("group", sa.String),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("systolic_mmhg", sa.Float),
    sa.Column("diastolic_mmhg", sa.Float),
    sa.Column("source", sa.JSON(none_as_null=True)),
)

segmentations = sa.Table(
    "segmentations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("frames", sa.JSON, nullable=False),
    sa.Column("label_path", sa.String, nullable=False),
    sa.Column("label_hash", sa.String, nullable=False),
    sa.Column("confidence_path", sa.String),
    sa.Column("model_id", sa.String, sa.ForeignKey("models.id")),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("segmentations.id")),
    sa.Column("reader", sa.String),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("foreground_fraction", sa.Float, nullable=False),
    sa.Column("measures", sa.JSON(none_as_null=True)),
    sa.Column("mean_confidence", sa.Float),
    sa.Column("lv_ef", sa.Float),
    sa.Column("rv_ef", sa.Float),
    sa.Column("disagreement", sa.Float),
    sa.Column("n_flags", sa.Integer),
    sa.Column("predicted_dice", sa.Float),
    sa.Column("committee_good", sa.Float),
    sa.UniqueConstraint("case_id", "version", name="uq_segmentations_case_version"),
    sa.Index("ix_segmentations_case_source", "case_id", "source", "id"),
    sa.Index("ix_segmentations_confidence", "mean_confidence", "source", "case_id", "id"),
    sqlite_autoincrement=True,
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("reader", sa.String, nullable=False),
    sa.Column("decided_at", UtcTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("segmentation_id", sa.Integer, sa.ForeignKey("segmentations.id"), nullable=False),
    sa.Column("label_hash", sa.String, nullable=False),
    sa.Column("model_id", sa.String),
    sa.Column("frames", sa.JSON, nullable=False),
    sa.Column("slices", sa.JSON, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("comment", sa.String, nullable=False),
    sa.Column("retracts_id", sa.Integer, sa.ForeignKey("decisions.id")),
    sa.Column("task_id", sa.Integer, sa.ForeignKey("reading_tasks.id")),
    sa.Column("reading", sa.String),  # kind of that task: what the verdict is for can be told without it
    sa.UniqueConstraint("retracts_id", name="uq_decisions_retracts"),
    sqlite_autoincrement=True,
)

place_verdicts = sa.Table(
    "place_verdicts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("segmentation_id", sa.Integer, sa.ForeignKey("segmentations.id"), nullable=False),
    sa.Column("label_hash", sa.String, nullable=False),
    sa.Column("reader", sa.String, nullable=False),
    sa.Column("frame", sa.Integer, nullable=False),
    sa.Column("slice", sa.Integer),  # none: the whole frame
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("comment", sa.String, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("judged_at", UtcTime, nullable=False),
    sa.Column("retracts_id", sa.Integer, sa.ForeignKey("place_verdicts.id")),
    sa.UniqueConstraint("retracts_id", name="uq_place_verdicts_retracts"),
    sqlite_autoincrement=True,
)

reading_tasks = sa.Table(  # not guarded: an open one may be withdrawn; the foreign key keeps those that were done
    "reading_tasks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("segmentation_id", sa.Integer, sa.ForeignKey("segmentations.id"), nullable=False),
    sa.Column("reader", sa.String, nullable=False, index=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("is_blind", sa.Boolean, nullable=False),
    sa.Column("expected", sa.String),
    sa.Column("planned_by", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

reader_memory = sa.Table(
    "reader_memory",
    metadata,
    sa.Column("reader", sa.String, primary_key=True),
    sa.Column("topic", sa.String, primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("remembered_at", UtcTime, nullable=False),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("spec_hash", sa.String, nullable=False),
    sa.Column("strategy", sa.String, nullable=False),
    sa.Column("network", sa.String, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("parents", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("weights_hash", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)

model_events = sa.Table(
    "model_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.String, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
)

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("segmentation_id", sa.Integer, sa.ForeignKey("segmentations.id"), nullable=False),
    sa.Column("reader", sa.String, nullable=False),
    sa.Column("score", sa.Integer),  # none where a rating is taken back
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("rated_at", UtcTime, nullable=False),
    sa.Column("app_version", sa.String, nullable=False),
    sa.Column("is_adjudication", sa.Boolean, nullable=False),
    sa.Column("retracts_id", sa.Integer, sa.ForeignKey("ratings.id")),
    sa.UniqueConstraint("retracts_id", name="uq_ratings_retracts"),
    sqlite_autoincrement=True,
)

qc_classifiers = sa.Table(
    "qc_classifiers",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("threshold", sa.Float, nullable=False),
    sa.Column("weights_hash", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)

qc_classifier_events = sa.Table(
    "qc_classifier_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("classifier_id", sa.String, sa.ForeignKey("qc_classifiers.id"), nullable=False),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

qc_scores = sa.Table(
    "qc_scores",
    metadata,
    sa.Column("segmentation_id", sa.Integer, sa.ForeignKey("segmentations.id"), primary_key=True),
    sa.Column("classifier_id", sa.String, sa.ForeignKey("qc_classifiers.id"), primary_key=True),
    sa.Column("probability_good", sa.Float, nullable=False),
    sa.Column("scored_at", UtcTime, nullable=False),
)
