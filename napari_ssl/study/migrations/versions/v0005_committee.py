"""What a committee of networks predicts about a proposal, for the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add columns; the table is not rebuilt, so that its triggers stay."""
    op.add_column("segmentations", sa.Column("predicted_dice", sa.Float()))
    op.add_column("segmentations", sa.Column("committee_good", sa.Float()))
