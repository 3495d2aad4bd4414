"""Triggers that make a table append-only, on SQLite and on PostgreSQL.

They bear the same names on both: ``<table>_no_update`` and ``<table>_no_delete``, and on PostgreSQL
``<table>_no_truncate``.
"""

from __future__ import annotations

from alembic import op

__all__ = ["guard"]


def guard(table: str) -> None:
    """Refuse UPDATE and DELETE (and TRUNCATE, where there is such a thing) on `table`."""
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql(table)
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
        )


def _guard_postgresql(table: str) -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
    )
    for action in ("UPDATE", "DELETE", "TRUNCATE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
