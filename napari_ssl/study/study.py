"""A study: a folder with a database, the only writer of its own state.

::

    study.toml              label scheme, preprocessing, reasons for rejections
    study.db                cases, label versions, decisions, ratings, models, jobs
    labels/<case>/          reference labels and corrections, one file a version, named by content
    predictions/<model>/    what models proposed, with confidence
    models/<id>/            weights.safetensors, card.json
    qc/<id>/                classifiers of curves: weights.safetensors, card.json
    runs/<job>/             spec.json, events, checkpoints, outputs
    journal/                strokes that are not saved yet
    backups/                the database before each migration
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import NapariSslError, StudyError
from napari_ssl.study.checks import CheckRoom
from napari_ssl.study.database_address import DatabaseAddress
from napari_ssl.study.databases import make_database, open_database
from napari_ssl.study.importing import ImportRoom
from napari_ssl.study.place_verdicts import PlaceVerdictRoom
from napari_ssl.study.proposals import ProposalRoom
from napari_ssl.study.rating_tables import RatingTableRoom
from napari_ssl.study.reader_memory import ReaderMemoryRoom
from napari_ssl.study.settings import SETTINGS_FILE, StudySettings, read_settings, write_settings
from napari_ssl.study.sqlite_database import DATABASE_FILE
from napari_ssl.study.storage import make_folder
from napari_ssl.study.subjects import SubjectRoom

__all__ = ["Study"]


class Study(ImportRoom, CheckRoom, ProposalRoom, RatingTableRoom, PlaceVerdictRoom, SubjectRoom, ReaderMemoryRoom):
    """Open one with `Study.open`, make one with `Study.create`; a context manager that closes it.

    Safe to use from several threads and several processes at a time; every method is one transaction.
    """

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        label_scheme: LabelScheme,
        preprocessing: Preprocessing | None = None,
        name: str | None = None,
        database_url: str | None = None,
    ) -> Study:
        """Make a new study in a folder, which may exist and hold other files, and open it.

        With `database_url` (``postgresql://…``, without a password) its database is on a PostgreSQL server, so that
        readers at several machines share it; else it is SQLite, for one machine.

        Raises
        ------
        StudyError
            There is a study in the folder already; SQLite on a network share; a database that cannot be reached.
        StorageError
            The folder cannot be written.
        """
        folder = Path(folder).absolute()
        address = None if database_url is None else DatabaseAddress.new(database_url, name or folder.name)
        settings = StudySettings(
            name=name or folder.name,
            label_scheme=label_scheme,
            preprocessing=preprocessing or Preprocessing(),
            database=address,
        )
        make_folder(folder)
        if (folder / SETTINGS_FILE).exists():
            raise StudyError(f"{folder}: has a {SETTINGS_FILE} already; open that study or choose another folder")
        if (folder / DATABASE_FILE).exists():
            raise StudyError(
                f"{folder}: has a {DATABASE_FILE} without {SETTINGS_FILE}; restore {SETTINGS_FILE}, or remove "
                f"{DATABASE_FILE} if the making of this study was interrupted"
            )
        for part in ("labels", "predictions", "models", "runs", "journal"):
            make_folder(folder / part)
        database = make_database(folder, address)
        try:
            database.create()
            write_settings(folder, settings)
        except BaseException:
            database.close()
            with suppress(NapariSslError):  # what went wrong first is what is said
                database.discard()
            raise
        return cls(folder, settings, database)

    @classmethod
    def open(cls, folder: str | Path, *, read_only: bool = False) -> Study:
        """Open a study; its database is brought to the present version, after a copy into ``backups``.

        A folder that cannot be written is opened for reading only (see `read_only`).

        Raises
        ------
        StudyError
            No study, or a damaged one.
        StudyVersionError
            Written by a newer version of napari-ssl; nothing is changed.
        """
        folder = Path(folder).absolute()
        settings = read_settings(folder)
        return cls(folder, settings, open_database(folder, settings.database, read_only=read_only))

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
