"""What a study knows of its subjects' bodies."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.subject import Subject
from napari_ssl.errors import UnknownCaseError
from napari_ssl.study import schema
from napari_ssl.study.base import StudyFolder

__all__ = ["SubjectRoom"]

_KEEP: Any = object()


class SubjectRoom(StudyFolder):
    """Read subjects, say what their bodies are."""

    def subject(self, subject_id: str) -> Subject:
        """Return a subject; UnknownCaseError when there is none of that name."""
        with self._database.read() as connection:
            return self._subject(connection, subject_id)

    def subjects(self) -> list[Subject]:
        """Return all subjects in the order of their identifiers."""
        with self._database.read() as connection:
            query = sa.select(schema.subjects).order_by(schema.subjects.c.id)
            return [Subject(**row) for row in connection.execute(query).mappings()]

    def set_subject(
        self,
        subject_id: str,
        *,
        sex: str | None = _KEEP,
        height_cm: float | None = _KEEP,
        weight_kg: float | None = _KEEP,
        birth_year: int | None = _KEEP,
    ) -> Subject:
        """Set what is given (None forgets it), leave the rest as it is, and return the subject.

        Raises
        ------
        StudyError
            A sex other than F and M, or a value that no body has.
        UnknownCaseError
            No such subject.
        """
        given = {"sex": sex, "height_cm": height_cm, "weight_kg": weight_kg, "birth_year": birth_year}
        values = {name: value for name, value in given.items() if value is not _KEEP}
        table = schema.subjects
        with self._database.write() as connection:
            changed = dataclasses.replace(self._subject(connection, subject_id), **values)  # checks the values
            if values:
                connection.execute(sa.update(table).where(table.c.id == subject_id).values(values))
        return changed

    def _subject(self, connection: sa.Connection, subject_id: str) -> Subject:
        query = sa.select(schema.subjects).where(schema.subjects.c.id == subject_id)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise UnknownCaseError(f"study {self.name!r} has no subject {subject_id!r}")
        return Subject(**row)
