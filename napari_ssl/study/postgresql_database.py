"""PostgreSQL, for readers at several machines: one schema a study, the same tables, migrations and guards.

Writers take an advisory lock of their study first (``pg_advisory_xact_lock``), so that "look, then write" sees what all
others have written, as with SQLite's ``BEGIN IMMEDIATE``; readers see a snapshot (REPEATABLE READ) and wait for nobody.
Passwords are libpq's business: ~/.pgpass, PGPASSWORD or a service file (PostgreSQL 15 documentation, Sec. 34.15–34.17).
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.errors import MissingDependencyError, StorageError, StudyError, StudyReadOnlyError
from napari_ssl.study.database import BUSY_TIMEOUT_S, Database
from napari_ssl.study.database_address import PASSWORD_PLACES, DatabaseAddress

__all__ = ["PostgresqlDatabase"]

_CONNECT_TIMEOUT_S = 5


class PostgresqlDatabase(Database):
    """Transactions on a study's schema of a PostgreSQL database.

    Parameters
    ----------
    folder : Path
        The study folder, which holds images' labels; it may lie on a share.
    address : DatabaseAddress
    read_only : bool

    Raises
    ------
    MissingDependencyError
        The driver is not installed.
    """

    remedy = "restore it from the server's backups"

    def __init__(self, folder: Path, address: DatabaseAddress, *, read_only: bool) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise MissingDependencyError(
                f"{folder}: its database is on a PostgreSQL server, and the driver psycopg is not installed; "
                "install it with: pip install 'napari-ssl[postgres]'"
            )
        self.address = address
        digest = hashlib.sha256(address.schema.encode()).digest()
        self._lock = int.from_bytes(digest[:8], "big", signed=True)
        reader = self._engine(isolation_level="REPEATABLE READ")
        sa.event.listen(reader, "begin", lambda c: c.exec_driver_sql("SET TRANSACTION READ ONLY"))
        writer = None
        if not read_only:
            writer = self._engine()
            sa.event.listen(writer, "begin", self._begin_writing)
        super().__init__(folder, f"{address.shown} (schema {address.schema})", reader, writer)

    def _engine(self, **options: Any) -> sa.Engine:
        url = self.address.parsed.set(drivername="postgresql+psycopg")
        arguments = {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": "napari-ssl"}
        engine = sa.create_engine(
            url,
            pool_pre_ping=True,  # a server that was started again is found
            connect_args={name: value for name, value in arguments.items() if name not in url.query},
            **options,
        )

        @sa.event.listens_for(engine, "connect", insert=True)
        def into_schema(connection: Any, _record: Any) -> None:
            was = connection.autocommit
            connection.autocommit = True
            connection.execute(f'SET search_path TO "{self.address.schema}"')
            connection.autocommit = was

        return engine

    def _begin_writing(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S:.0f}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({self._lock})")

    @staticmethod
    def _driver_error() -> type[Exception]:
        import psycopg

        return psycopg.Error

    def _in_words(self, error: BaseException) -> Exception:
        state = getattr(error, "sqlstate", None) or ""
        text = " ".join(str(error).split())
        if state in ("42501", "25006"):
            return StudyReadOnlyError(
                f"{self.place}: {text}; ask the owner of the database for INSERT and UPDATE on this schema"
            )
        if state == "55P03":
            return StudyError(
                f"{self.place}: another process has been writing for {BUSY_TIMEOUT_S:.0f} s; close it, then try again"
            )
        if state.startswith("53"):
            return StorageError(f"{self.place}: {text}; the server is out of space, memory or connections")
        if state.startswith("28") or "password" in text:
            return StudyError(f"{self.place}: the server refuses this user ({text}); it looks in {PASSWORD_PLACES}")
        if state.startswith(("08", "57P")) or not state:
            return StudyError(
                f"{self.place}: the database server cannot be reached ({text}); look whether it runs and the "
                "network is there, then try again. What was said to be saved is saved; strokes lie in the journal"
            )
        return super()._in_words(error)

    def create(self) -> None:
        """Make the study's schema and its tables."""
        name = self.address.schema
        with self.write() as connection:
            query = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
            if connection.execute(query, {"name": name}).first() is not None:
                raise StudyError(f"{self.place}: has this schema already; open that study or choose another name")
            connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
        self._migrate()

    def discard(self) -> None:
        """Drop a schema that was made a moment ago."""
        engine = self._engine()
        with self._errors(), engine.begin() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{self.address.schema}" CASCADE')
        engine.dispose()

    def may_be_written(self) -> bool:
        """Whether this user may insert decisions."""
        query = sa.text("SELECT has_table_privilege('decisions', 'INSERT')")
        with self.read() as connection:
            return bool(connection.execute(query).scalar())

    def change_stamp(self) -> tuple[object, ...]:
        """Return something that differs after any process has written; one question to the server."""
        query = sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        with self.read() as connection:
            return (connection.execute(query).scalar(),)

    def problems(self) -> list[str]:
        """Return foreign keys and other constraints that were switched off; pages are checked by the server."""
        query = sa.text(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint "
            "WHERE connamespace = current_schema()::regnamespace AND NOT convalidated"
        )
        with self.read() as connection:
            return [f"constraint {name} of {table} is not enforced" for table, name in connection.execute(query)]

    def _check_present(self) -> None:
        query = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
        with self.read() as connection:
            if connection.execute(query, {"name": self.address.schema}).first() is None:
                raise StudyError(f"{self.place}: the schema is absent; restore it from the server's backups")

    def _triggers(self, connection: sa.Connection) -> set[str]:
        query = sa.text(
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE relnamespace = current_schema()::regnamespace AND tgenabled <> 'D' AND NOT tgisinternal"
        )
        return set(connection.execute(query).scalars())

    def _backup(self, revision: str) -> None:
        """Nothing: the tables change in one transaction, and copies of a server are its keeper's (pg_dump)."""
