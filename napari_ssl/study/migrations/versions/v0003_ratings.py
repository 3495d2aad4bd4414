"""Ratings of readers, classifiers of curves with their scores, rule flags in the queue, blood pressures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from napari_ssl.study.migrations.guards import guard

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add tables and columns; existing ones are not rebuilt, so that their triggers stay."""
    op.create_table(
        "ratings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("segmentation_id", sa.Integer(), sa.ForeignKey("segmentations.id"), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("score", sa.Integer()),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("rated_at", sa.String(), nullable=False),
        sa.Column("app_version", sa.String(), nullable=False),
        sa.Column("is_adjudication", sa.Boolean(), nullable=False),
        sa.Column("retracts_id", sa.Integer(), sa.ForeignKey("ratings.id")),
        sa.UniqueConstraint("retracts_id", name="uq_ratings_retracts"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "qc_classifiers",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("weights_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
    )
    op.create_table(
        "qc_classifier_events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("classifier_id", sa.String(), sa.ForeignKey("qc_classifiers.id"), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "qc_scores",
        sa.Column("segmentation_id", sa.Integer(), sa.ForeignKey("segmentations.id"), primary_key=True),
        sa.Column("classifier_id", sa.String(), sa.ForeignKey("qc_classifiers.id"), primary_key=True),
        sa.Column("probability_good", sa.Float(), nullable=False),
        sa.Column("scored_at", sa.String(), nullable=False),
    )
    for table in ("ratings", "qc_classifier_events"):
        guard(table)
    op.add_column("segmentations", sa.Column("n_flags", sa.Integer()))
    op.add_column("cases", sa.Column("systolic_mmhg", sa.Float()))
    op.add_column("cases", sa.Column("diastolic_mmhg", sa.Float()))
