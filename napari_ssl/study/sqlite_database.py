"""``study.db``: SQLite in WAL mode, one engine for writers, one for readers, migrations, errors in words.

Writers begin with ``BEGIN IMMEDIATE``: they queue for the lock instead of failing when a read turns into a write, so
that several processes lose nothing. Readers begin deferred and see a snapshot.

A write-ahead log is shared memory between processes: it works on one machine alone (https://www.sqlite.org/wal.html,
"WAL does not work over a network filesystem"). Studies on network shares are therefore refused; see
`napari_ssl.study.network_share`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from napari_ssl.errors import StorageError, StudyError, StudyReadOnlyError
from napari_ssl.io.atomic import replacing
from napari_ssl.study.database import BUSY_TIMEOUT_S, Database
from napari_ssl.study.network_share import network_file_system
from napari_ssl.study.storage import make_folder, storage_errors

__all__ = ["DATABASE_FILE", "SqliteDatabase"]

DATABASE_FILE = "study.db"


class SqliteDatabase(Database):
    """Transactions on ``study.db``.

    Parameters
    ----------
    folder : Path
        The study folder.
    read_only : bool
        Never write, not even SQLite's side files: also works where the folder cannot be written.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.path = folder / DATABASE_FILE
        self._folder = folder
        if read_only:
            reader = sa.create_engine("sqlite://", creator=self._connect_read_only, poolclass=sa.NullPool)
            writer = None
        else:
            reader = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.QueuePool)
            writer = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.QueuePool)
            sa.event.listen(writer, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        sa.event.listen(reader, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        super().__init__(folder, str(self.path), reader, writer)

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri() + "?mode=rw"  # never creates an empty database by mistake
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    @staticmethod
    def _driver_error() -> type[Exception]:
        return sqlite3.Error

    def may_be_written(self) -> bool:
        """Whether folder and database can be written, however they were opened."""
        return os.access(self.path.parent, os.W_OK) and os.access(self.path, os.W_OK)

    def _connect_read_only(self) -> sqlite3.Connection:
        """Connect without writing; a write-ahead log needs side files, unless the database is at rest (immutable)."""
        if self.may_be_written():
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            return connection
        base = self.path.absolute().as_uri()
        for query in ("?mode=ro", "?immutable=1"):
            connection = sqlite3.connect(
                base + query, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return connection
            except sqlite3.OperationalError:
                connection.close()
                wal = self.path.with_name(self.path.name + "-wal")
                if query != "?mode=ro" or not self.path.is_file() or (wal.exists() and wal.stat().st_size > 0):
                    raise
        raise AssertionError("unreachable")

    def create(self) -> None:
        """Make a new, empty database; StudyError when there is one already."""
        self._refuse_network_share()
        with storage_errors(self.path):
            try:
                self.path.touch(exist_ok=False)
            except FileExistsError:
                raise StudyError(f"{self.path}: exists already; open the study or choose another folder") from None
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        self._migrate()

    def _in_words(self, error: BaseException) -> Exception:
        text = str(error)
        if "full" in text or "disk I/O" in text:
            return StorageError(f"{self.path}: {text}; free space on the disk, then try again. Nothing was changed")
        if "readonly" in text:
            return StudyReadOnlyError(f"{self.path}: {text}; ask for write permission or copy the study")
        if "locked" in text:
            return StudyError(
                f"{self.path}: another process has been writing for {BUSY_TIMEOUT_S:.0f} s; close it, then try again"
            )
        if "malformed" in text or "not a database" in text:
            return StudyError(f"{self.path}: damaged ({text}); restore it from the study's backups folder")
        if "unable to open" in text:
            return StudyError(f"{self.path}: cannot be opened ({text}); restore the file or its permissions")
        return super()._in_words(error)

    def _backup(self, revision: str | None) -> None:
        folder = self.path.parent / "backups"
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        target = folder / f"study-{revision}-{stamp}.db"
        make_folder(folder)
        with (
            replacing(target) as temporary,
            self._errors(),
            closing(self._connect()) as source,
            closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)

    def _check_present(self) -> None:
        if not self.path.is_file():
            raise StudyError(f"{self.path}: absent; restore the file from the study's backups folder")
        if not self.read_only:
            self._refuse_network_share()

    def _refuse_network_share(self) -> None:
        kind = network_file_system(self._folder)
        if kind is not None:
            raise StudyError(
                f"{self._folder}: lies on a network share ({kind}), where SQLite cannot keep several writers apart and "
                "may damage the study; put the study on a local disk, or make it with --database postgresql://… (then "
                "its folder may lie on a share). What is there can be opened for reading only. Nothing was changed"
            )

    def _triggers(self, connection: sa.Connection) -> set[str]:
        return set(connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars())

    def change_stamp(self) -> tuple[object, ...]:
        """Return something that differs after any process has written; costs two looks at the folder."""
        stamp = []
        for suffix in ("", "-wal"):
            try:
                stat = self.path.with_name(self.path.name + suffix).stat()
            except OSError:
                continue
            stamp.append((stat.st_mtime_ns, stat.st_size))
        return tuple(stamp)

    def problems(self) -> list[str]:
        """Return what SQLite itself finds wrong with the file; reads all of it."""
        with self.read() as connection:
            verdicts = connection.execute(sa.text("PRAGMA integrity_check")).scalars().all()
            loose = connection.execute(sa.text("PRAGMA foreign_key_check")).all()
        found = [] if list(verdicts) == ["ok"] else [f"damaged: {verdicts[0]}"]
        if loose:
            found.append(f"{len(loose)} rows point to rows that are gone, the first in table {loose[0][0]}")
        return found

    def discard(self) -> None:
        """Remove a database that was made a moment ago, so that the next attempt finds room."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
