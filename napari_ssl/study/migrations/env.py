"""Run by alembic; the connection comes from `napari_ssl.study.database`, inside one transaction."""

from __future__ import annotations

from alembic import context

from napari_ssl.study.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
