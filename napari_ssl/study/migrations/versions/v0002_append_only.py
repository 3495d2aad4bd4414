"""Triggers that refuse to change or delete decisions and other events.

SQLite drops a table's triggers when a later migration rebuilds the table (``batch_alter_table``): such a migration must
call `guard` again. `napari_ssl.study.database` asserts the triggers whenever a study is opened.
"""

from __future__ import annotations

from napari_ssl.study.migrations.guards import guard

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Guard the three tables of events."""
    for table in ("decisions", "model_events", "job_events"):
        guard(table)
