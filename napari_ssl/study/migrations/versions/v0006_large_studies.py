"""Indices that keep the status and the first page of the queue quick at 100,000 cases."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Both hold all that is asked of them, so that rows with their long measures are not read."""
    op.create_index("ix_segmentations_case_source", "segmentations", ["case_id", "source", "id"], if_not_exists=True)
    op.create_index(
        "ix_segmentations_confidence", "segmentations", ["mean_confidence", "source", "case_id", "id"],
        if_not_exists=True,
    )  # fmt: skip
