"""``study.db``: SQLite in WAL mode, one engine for writers, one for readers, migrations, errors in words.

Writers begin with ``BEGIN IMMEDIATE``: they queue for the lock instead of failing when a read turns into a write, so
that several processes lose nothing. Readers begin deferred and see a snapshot.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from napari_ssl.errors import DecisionError, StorageError, StudyError, StudyReadOnlyError, StudyVersionError
from napari_ssl.io.atomic import replacing
from napari_ssl.study.schema import GUARDED_TABLES
from napari_ssl.study.storage import make_folder, storage_errors

__all__ = ["DATABASE_FILE", "REVISIONS", "Database"]

DATABASE_FILE = "study.db"
REVISIONS = ("0001", "0002", "0003", "0004")
"""Known states of the tables, oldest first; the last is what this version writes."""
BUSY_TIMEOUT_S = 30.0


class Database:
    """Transactions on one study's database; safe from several threads and processes.

    Parameters
    ----------
    folder : Path
        The study folder.
    read_only : bool
        Never write, not even SQLite's side files: also works where the folder cannot be written.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.path = folder / DATABASE_FILE
        self.read_only = read_only
        if read_only:
            self._reader = sa.create_engine("sqlite://", creator=self._connect_read_only, poolclass=sa.NullPool)
            self._writer = None
        else:
            self._reader = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.QueuePool)
            self._writer = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.QueuePool)
            sa.event.listen(self._writer, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        sa.event.listen(self._reader, "begin", lambda c: c.exec_driver_sql("BEGIN"))

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri() + "?mode=rw"  # never creates an empty database by mistake
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

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

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A snapshot; what others write meanwhile is not seen."""
        with self._errors(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """The only writer among all processes until the block ends; everything in it happens or nothing.

        Raises
        ------
        StudyReadOnlyError
            The study is open for reading only.
        """
        if self._writer is None:
            raise StudyReadOnlyError(
                f"{self.path.parent}: the study is open for reading only; ask for write permission on the folder "
                "or copy the study to a place of your own"
            )
        with self._errors(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            raise self._in_words(error.orig or error) from error
        except sqlite3.Error as error:  # raised while connecting
            raise self._in_words(error) from error

    def _in_words(self, error: BaseException) -> Exception:
        text = str(error)
        if "append-only" in text:
            return DecisionError(f"{self.path}: {text}; take it back with a new entry instead of changing it")
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
        return StudyError(f"{self.path}: {text}")

    def create(self) -> None:
        """Make a new, empty database; StudyError when there is one already."""
        with storage_errors(self.path):
            try:
                self.path.touch(exist_ok=False)
            except FileExistsError:
                raise StudyError(f"{self.path}: exists already; open the study or choose another folder") from None
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        self._migrate()

    def prepare(self) -> None:
        """Bring the tables of an existing database to the present state.

        Raises
        ------
        StudyVersionError
            Written by a newer version of napari-ssl.
        StudyReadOnlyError
            Older tables in a folder that cannot be written.
        StudyError
            Absent, damaged, or the append-only triggers are gone.
        """
        if not self.path.is_file():
            raise StudyError(f"{self.path}: absent; restore the file from the study's backups folder")
        revision = self.revision()
        if revision is None:  # `create` fills it before the study gets its settings: it was emptied afterwards
            raise StudyError(
                f"{self.path}: damaged, it does not say of which version its tables are (the file was emptied or "
                "replaced); restore it from a backup (the study's backups folder). Nothing was changed"
            )
        if revision not in REVISIONS:
            raise StudyVersionError(
                f"{self.path}: its tables are of version {revision!r}, this program knows versions up to "
                f"{REVISIONS[-1]}; update napari-ssl. Nothing was changed"
            )
        if revision != REVISIONS[-1]:
            if self.read_only:
                raise StudyReadOnlyError(
                    f"{self.path}: its tables are of the older version {revision} and the folder cannot be written; "
                    "open it once with write permission, or copy it"
                )
            self._backup(revision)
            self._migrate()
        missing = self.missing_guards()
        if missing:
            raise StudyError(
                f"{self.path}: the triggers {', '.join(missing)} that protect decisions are gone, somebody changed the "
                "database by hand; restore it from the study's backups folder"
            )

    def revision(self) -> str | None:
        """Return the state of the tables, None for an empty database."""
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def missing_guards(self) -> list[str]:
        """Return names of append-only triggers that should be there and are not."""
        with self.read() as connection:
            found = set(connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars())
        wanted = [f"{table}_no_{action}" for table in GUARDED_TABLES for action in ("update", "delete")]
        return [name for name in wanted if name not in found]

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

    def _migrate(self) -> None:
        """Run the outstanding migrations in one transaction: all or none, and one process at a time."""
        from alembic import command  # only a study that is made or upgraded needs alembic
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", (Path(__file__).parent / "migrations").as_posix().replace("%", "%%"))
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Release all connections; the last one to go folds the write-ahead log into the database."""
        for engine in (self._reader, self._writer):
            if engine is not None:
                with suppress(sqlite3.Error):
                    engine.dispose()
