"""Subjects' bodies, where images came from, verdicts on frames and slices, planned reads, what readers were doing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from napari_ssl.study.migrations.guards import guard

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add tables and columns; existing ones are not rebuilt, so that their triggers stay."""
    for column in (
        sa.Column("sex", sa.String()),
        sa.Column("height_cm", sa.Float()),
        sa.Column("weight_kg", sa.Float()),
        sa.Column("birth_year", sa.Integer()),
    ):
        op.add_column("subjects", column)
    op.add_column("cases", sa.Column("source", sa.JSON()))
    _place_verdicts()
    op.create_table(
        "reading_tasks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("segmentation_id", sa.Integer(), sa.ForeignKey("segmentations.id"), nullable=False),
        sa.Column("reader", sa.String(), nullable=False, index=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("is_blind", sa.Boolean(), nullable=False),
        sa.Column("expected", sa.String()),
        sa.Column("planned_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.execute("ALTER TABLE decisions ADD COLUMN task_id INTEGER REFERENCES reading_tasks (id)")
    op.add_column("decisions", sa.Column("reading", sa.String()))
    op.create_table(
        "reader_memory",
        sa.Column("reader", sa.String(), primary_key=True),
        sa.Column("topic", sa.String(), primary_key=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("remembered_at", sa.String(), nullable=False),
    )


def _place_verdicts() -> None:
    op.create_table(
        "place_verdicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("segmentation_id", sa.Integer(), sa.ForeignKey("segmentations.id"), nullable=False),
        sa.Column("label_hash", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("slice", sa.Integer()),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("judged_at", sa.String(), nullable=False),
        sa.Column("retracts_id", sa.Integer(), sa.ForeignKey("place_verdicts.id")),
        sa.UniqueConstraint("retracts_id", name="uq_place_verdicts_retracts"),
        sqlite_autoincrement=True,
    )
    guard("place_verdicts")
