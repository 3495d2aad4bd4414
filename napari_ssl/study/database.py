"""What the databases of a study have in common: transactions, migrations, guards, errors in words.

One machine: SQLite (`napari_ssl.study.sqlite_database`). Several: PostgreSQL (`napari_ssl.study.postgresql_database`).
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from napari_ssl.errors import DecisionError, StudyError, StudyReadOnlyError, StudyVersionError
from napari_ssl.study.schema import GUARDED_TABLES

__all__ = ["BUSY_TIMEOUT_S", "REVISIONS", "Database"]

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Known states of the tables, oldest first; the last is what this version writes."""
BUSY_TIMEOUT_S = 30.0


class Database(abc.ABC):
    """Transactions on one study's database; safe from several threads and processes.

    Parameters
    ----------
    folder : Path
        The study folder.
    place : str
        Where the database is, as errors name it; never a password.
    reader, writer : sa.Engine
        No writer: the study is open for reading only.
    """

    remedy = "restore it from the study's backups folder"

    def __init__(self, folder: Path, place: str, reader: sa.Engine, writer: sa.Engine | None) -> None:
        self._study_folder = folder
        self.place = place
        self._reader = reader
        self._writer = writer

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self._writer is None

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
                f"{self._study_folder}: the study is open for reading only; ask for write permission on the folder "
                "or copy the study to a place of your own"
            )
        with self._errors(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._worded(error.orig or error) from error
        except self._driver_error() as error:  # raised while connecting
            raise self._worded(error) from error

    @staticmethod
    @abc.abstractmethod
    def _driver_error() -> type[Exception]:
        """The base of the driver's errors."""

    def _worded(self, error: BaseException) -> Exception:
        if "append-only" in str(error):
            first = str(error).splitlines()[0]
            return DecisionError(f"{self.place}: {first}; take it back with a new entry instead of changing it")
        return self._in_words(error)

    def _in_words(self, error: BaseException) -> Exception:
        return StudyError(f"{self.place}: {error}")

    @abc.abstractmethod
    def create(self) -> None:
        """Make a new, empty database; StudyError when there is one already."""

    @abc.abstractmethod
    def discard(self) -> None:
        """Remove a database that was made a moment ago, so that the next attempt finds room."""

    @abc.abstractmethod
    def may_be_written(self) -> bool:
        """Whether the database can be written, however it was opened."""

    @abc.abstractmethod
    def change_stamp(self) -> tuple[object, ...]:
        """Return something that differs after any process has written."""

    @abc.abstractmethod
    def problems(self) -> list[str]:
        """Return what the database itself finds wrong with its content."""

    @abc.abstractmethod
    def _check_present(self) -> None:
        """Raise StudyError where the database is not there, or must not be used where it lies."""

    @abc.abstractmethod
    def _triggers(self, connection: sa.Connection) -> set[str]:
        """Names of the triggers that are there."""

    @abc.abstractmethod
    def _backup(self, revision: str) -> None:
        """Keep a copy before the tables change."""

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
        self._check_present()
        revision = self.revision()
        if revision is None:  # `create` fills it before the study gets its settings: it was emptied afterwards
            raise StudyError(
                f"{self.place}: damaged, it does not say of which version its tables are (the file was emptied or "
                "replaced); restore it from a backup (the study's backups folder). Nothing was changed"
            )
        if revision not in REVISIONS:
            raise StudyVersionError(
                f"{self.place}: its tables are of version {revision!r}, this program knows versions up to "
                f"{REVISIONS[-1]}; update napari-ssl. Nothing was changed"
            )
        if revision != REVISIONS[-1]:
            if self.read_only:
                raise StudyReadOnlyError(
                    f"{self.place}: its tables are of the older version {revision} and the folder cannot be written; "
                    "open it once with write permission, or copy it"
                )
            self._backup(revision)
            self._migrate()
        missing = self.missing_guards()
        if missing:
            raise StudyError(
                f"{self.place}: the triggers {', '.join(missing)} that protect decisions are gone, somebody changed "
                f"the database by hand; {self.remedy}"
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
            found = self._triggers(connection)
        wanted = [f"{table}_no_{action}" for table in GUARDED_TABLES for action in ("update", "delete")]
        return [name for name in wanted if name not in found]

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
                with suppress(self._driver_error()):
                    engine.dispose()
