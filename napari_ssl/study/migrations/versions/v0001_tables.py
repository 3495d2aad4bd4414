"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "subjects",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("split", sa.String(), nullable=False),
    )
    _cases_and_models()
    _segmentations()
    _decisions()
    _jobs()


def _cases_and_models() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("subject_id", sa.String(), sa.ForeignKey("subjects.id"), nullable=False, index=True),
        sa.Column("image_path", sa.String(), nullable=False),
        sa.Column("image_path_relative", sa.String()),
        sa.Column("image_hash", sa.String(), nullable=False, index=True),
        sa.Column("shape_tzyx", sa.JSON(), nullable=False),
        sa.Column("spacing_zyx_mm", sa.JSON(), nullable=False),
        sa.Column("geometry", sa.JSON(), nullable=False),
        sa.Column("frame_interval_ms", sa.Float()),
        sa.Column("ed_frame", sa.Integer()),
        sa.Column("es_frame", sa.Integer()),
        sa.Column("group", sa.String()),
        sa.Column("created_at", sa.String(), nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("weights_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
    )
    op.create_table(
        "model_events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model_id", sa.String(), sa.ForeignKey("models.id"), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )


def _segmentations() -> None:
    op.create_table(
        "segmentations",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("label_path", sa.String(), nullable=False),
        sa.Column("label_hash", sa.String(), nullable=False),
        sa.Column("confidence_path", sa.String()),
        sa.Column("model_id", sa.String(), sa.ForeignKey("models.id")),
        sa.Column("parent_id", sa.Integer(), sa.ForeignKey("segmentations.id")),
        sa.Column("reader", sa.String()),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("foreground_fraction", sa.Float(), nullable=False),
        sa.Column("measures", sa.JSON()),
        sa.Column("mean_confidence", sa.Float()),
        sa.Column("lv_ef", sa.Float()),
        sa.Column("rv_ef", sa.Float()),
        sa.Column("disagreement", sa.Float()),
        sa.UniqueConstraint("case_id", "version", name="uq_segmentations_case_version"),
        sqlite_autoincrement=True,
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("decided_at", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), sa.ForeignKey("segmentations.id"), nullable=False),
        sa.Column("label_hash", sa.String(), nullable=False),
        sa.Column("model_id", sa.String()),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("slices", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("retracts_id", sa.Integer(), sa.ForeignKey("decisions.id")),
        sa.UniqueConstraint("retracts_id", name="uq_decisions_retracts"),
        sqlite_autoincrement=True,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
    )
    op.create_table(
        "job_events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("job_id", sa.String(), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
