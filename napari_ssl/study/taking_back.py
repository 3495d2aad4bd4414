"""Rows that a reader appended and may take back: ratings, verdicts on places."""

from __future__ import annotations

import sqlalchemy as sa

from napari_ssl.errors import DecisionError, UnknownCaseError

__all__ = ["row_to_take_back"]


def row_to_take_back(
    connection: sa.Connection, table: sa.Table, row_id: int, reader: str, *, what: str, instead: str
) -> sa.RowMapping:
    """Return the row that a reader may take back.

    Parameters
    ----------
    what, instead : str
        What such a row is, and what to do where it was taken back already; for the messages.

    Raises
    ------
    DecisionError
        It is another reader's, or taken back before.
    UnknownCaseError
        No row of that number, or one that takes another back.
    """
    row = connection.execute(sa.select(table).where(table.c.id == row_id)).mappings().first()
    if row is None or row["retracts_id"] is not None:
        raise UnknownCaseError(f"the study has no {what} number {row_id!r}")
    where = f"case {row['case_id']}: {what} {row_id}"
    if row["reader"] != reader:
        raise DecisionError(f"{where} is {row['reader']}'s; only {row['reader']} can take it back")
    if connection.execute(sa.select(table.c.id).where(table.c.retracts_id == row_id)).first() is not None:
        raise DecisionError(f"{where} was taken back before; {instead} instead")
    return row
