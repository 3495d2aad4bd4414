"""Which database a study gets: SQLite in its folder, or PostgreSQL where ``study.toml`` names one."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ssl.study.database import Database
from napari_ssl.study.database_address import DatabaseAddress
from napari_ssl.study.network_share import network_file_system
from napari_ssl.study.sqlite_database import DATABASE_FILE, SqliteDatabase

__all__ = ["make_database", "open_database"]


def make_database(folder: Path, address: DatabaseAddress | None, *, read_only: bool = False) -> Database:
    """Return the database of a study, which need not be there yet."""
    if address is not None:
        from napari_ssl.study.postgresql_database import PostgresqlDatabase

        return PostgresqlDatabase(folder, address, read_only=read_only)
    return SqliteDatabase(folder, read_only=read_only)


def open_database(folder: Path, address: DatabaseAddress | None, *, read_only: bool) -> Database:
    """Open the database of a study and bring its tables to the present version.

    What cannot be written is opened for reading only. A study in SQLite on a network share is refused, unless it is
    asked for reading only.
    """
    writable = os.access(folder, os.W_OK)
    if address is None:
        writable = writable and os.access(folder / DATABASE_FILE, os.W_OK)
        if read_only and network_file_system(folder) is not None:
            writable = False
    database = make_database(folder, address, read_only=not writable)
    try:
        database.prepare()
        if writable and (read_only or not database.may_be_written()):
            database.close()
            database = make_database(folder, address, read_only=True)
    except BaseException:
        database.close()
        raise
    return database
