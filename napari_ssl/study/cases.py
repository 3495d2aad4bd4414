"""Cases of a study and the splits of their subjects."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.case import Case, Split
from napari_ssl.errors import StudyError, UnknownCaseError
from napari_ssl.io.images import Geometry
from napari_ssl.study import schema
from napari_ssl.study.base import StudyFolder, member, now, plain_json
from napari_ssl.study.storage import relative_name

__all__ = ["CaseRoom"]

_SELECT = sa.select(schema.cases, schema.subjects.c.split).join(schema.subjects)


_MOST_NAMED = 10_000
"""So many cases are named in a query; of more all rows are read."""


class CaseRoom(StudyFolder):
    """Read cases, set their phases."""

    def cases(self, *, split: Split | str | None = None, ids: Iterable[str] | None = None) -> list[Case]:
        """Return cases in the order of their identifiers.

        Parameters
        ----------
        split : Split, optional
            Only subjects of this split.
        ids : iterable of str, optional
            Only these; UnknownCaseError names the first that does not exist.
        """
        query = _SELECT.order_by(schema.cases.c.id)
        wanted = None if ids is None else set(ids)
        if wanted is not None and len(wanted) <= _MOST_NAMED:
            query = query.where(schema.cases.c.id.in_(wanted))
        if split is not None:
            query = query.where(schema.subjects.c.split == member(Split, split, "split").value)
        with self._database.read() as connection:
            found = [self._case(row) for row in connection.execute(query).mappings()]
        if wanted is None:
            return found
        unknown = wanted - {case.id for case in found}
        if split is not None and unknown:
            unknown -= {case.id for case in self.cases(ids=unknown)}
        if unknown:
            raise self._unknown(min(unknown))
        return [case for case in found if case.id in wanted]

    def case(self, case_id: str) -> Case:
        """Return one case; UnknownCaseError when there is none of that name."""
        with self._database.read() as connection:
            return self._case(self._case_row(connection, case_id))

    def set_phases(self, case_id: str, ed_frame: int | None, es_frame: int | None) -> Case:
        """Set end-diastole and end-systole of a case (0-based; None: unknown) and return it.

        Raises
        ------
        StudyError
            A frame that the image does not have.
        """
        with self._database.write() as connection:
            row = {**self._case_row(connection, case_id), "ed_frame": ed_frame, "es_frame": es_frame}
            case = self._case(row)  # checks the frames
            values = {"ed_frame": case.ed_frame, "es_frame": case.es_frame}
            connection.execute(sa.update(schema.cases).where(schema.cases.c.id == case_id).values(values))
        return case

    def set_pressures(self, case_id: str, systolic_mmhg: float | None, diastolic_mmhg: float | None) -> None:
        """Keep the blood pressures of a case in mmHg, measured at the scan (central ones where known); None forgets.

        Raises
        ------
        StudyError
            Only one of the two, or not 20 ≤ diastolic < systolic ≤ 300.
        """
        pair = (systolic_mmhg, diastolic_mmhg)
        if pair != (None, None) and (None in pair or not 20 <= diastolic_mmhg < systolic_mmhg <= 300):
            raise StudyError(
                f"case {case_id}: pressures must be 20 <= diastolic < systolic <= 300 mmHg, got systolic {pair[0]}, "
                f"diastolic {pair[1]}; give both or neither"
            )
        with self._database.write() as connection:
            self._case_row(connection, case_id)
            values = {"systolic_mmhg": systolic_mmhg, "diastolic_mmhg": diastolic_mmhg}
            connection.execute(sa.update(schema.cases).where(schema.cases.c.id == case_id).values(values))

    def pressures(self, case_id: str) -> tuple[float, float] | None:
        """Return systolic and diastolic pressure of a case in mmHg, None when they are not known."""
        with self._database.read() as connection:
            row = self._case_row(connection, case_id)
        systolic, diastolic = row["systolic_mmhg"], row["diastolic_mmhg"]
        return None if systolic is None or diastolic is None else (systolic, diastolic)

    def image_geometry(self, case_id: str) -> Geometry:
        """Return the grid of a case's image as it was at import; needs no image file."""
        with self._database.read() as connection:
            return self._geometry(self._case_row(connection, case_id))

    def _case_row(self, connection: sa.Connection, case_id: str) -> dict[str, Any]:
        row = connection.execute(_SELECT.where(schema.cases.c.id == case_id)).mappings().first()
        if row is None:
            raise self._unknown(case_id)
        return dict(row)

    def _unknown(self, case_id: str) -> UnknownCaseError:
        return UnknownCaseError(
            f"study {self.name!r} has no case {case_id!r}; 'napari-ssl study status {self.folder}' tells what it has"
        )

    def _case(self, row: Any) -> Case:
        return Case(
            id=row["id"],
            subject_id=row["subject_id"],
            split=Split(row["split"]),
            image_path=str(self._locate(row["image_path"], row["image_path_relative"])),
            image_hash=row["image_hash"],
            spacing_zyx_mm=tuple(row["spacing_zyx_mm"]),
            shape_tzyx=tuple(row["shape_tzyx"]),
            frame_interval_ms=row["frame_interval_ms"],
            ed_frame=row["ed_frame"],
            es_frame=row["es_frame"],
            group=row["group"],
            source=row["source"],
        )

    def _locate(self, absolute: str, relative: str | None) -> Path:
        """Return where the image is now: study and images may have been moved together."""
        if relative is not None and not os.path.isfile(absolute):  # False too where the folder may not be entered
            moved = os.path.normpath(self.folder.resolve() / relative)
            if os.path.isfile(moved):
                return Path(moved)
        return Path(absolute)

    @staticmethod
    def _geometry(row: Any) -> Geometry:
        return Geometry(**row["geometry"])

    def _insert_case(self, connection: sa.Connection, case: Case, geometry: Geometry) -> None:
        connection.execute(
            sa.insert(schema.cases).values(
                id=case.id,
                subject_id=case.subject_id,
                image_path=case.image_path,
                image_path_relative=relative_name(Path(case.image_path), self.folder.resolve()),
                image_hash=case.image_hash,
                shape_tzyx=list(case.shape_tzyx),
                spacing_zyx_mm=list(case.spacing_zyx_mm),
                geometry=asdict(geometry),
                frame_interval_ms=case.frame_interval_ms,
                ed_frame=case.ed_frame,
                es_frame=case.es_frame,
                group=case.group,
                source=None if case.source is None else plain_json(case.source),
                created_at=now(),
            )
        )
