"""Jobs of a study: one row each, every change of state appended, the order in ``runs/<id>/spec.json``."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.job import Job, JobKind, JobState
from napari_ssl.errors import JobError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.study import schema
from napari_ssl.study.base import StudyFolder, check_identifier, member, now
from napari_ssl.study.storage import inside, make_folder

__all__ = ["SPEC_FILE", "JobRoom"]

SPEC_FILE = "spec.json"

_TABLE = schema.jobs


class JobRoom(StudyFolder):
    """Record what was ordered and how far it is."""

    def create_job(self, kind: JobKind, spec: Mapping[str, Any], job_id: str | None = None) -> Job:
        """Write ``runs/<id>/spec.json``, record a queued job and return it.

        Raises
        ------
        JobError
            The identifier is taken, or the order is no JSON.
        """
        self._check_writable("start a job")
        kind, at = member(JobKind, kind, "kind of job"), now()
        job_id = check_identifier("job", job_id or f"{kind}-{at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
        try:
            content = json.dumps(spec, indent=1, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise JobError(f"job {job_id}: its order cannot be written as JSON ({error})") from error
        folder = f"runs/{job_id}"
        path = inside(self.folder, folder)
        with self._database.write() as connection:
            if connection.execute(sa.select(_TABLE.c.id).where(_TABLE.c.id == job_id)).first() is not None:
                raise JobError(f"job {job_id} exists already; choose another identifier")
            make_folder(path)
            write_bytes(path / SPEC_FILE, content)
            job = Job(id=job_id, kind=kind, state=JobState.QUEUED, folder=folder, created_at=at, updated_at=at)
            values = {name: getattr(job, name) for name in Job.__dataclass_fields__}
            values.update(kind=kind.value, state=job.state.value)
            connection.execute(sa.insert(_TABLE).values(values))
            self._append_state(connection, job_id, job.state, "")
        return job

    def update_job(
        self,
        job_id: str,
        *,
        state: JobState | None = None,
        progress: float | None = None,
        message: str | None = None,
        attempts: int | None = None,
    ) -> Job:
        """Change what is given and return the job; a new state is appended to its history.

        Raises
        ------
        JobError
            No such job, or a progress outside 0 to 1.
        """
        if progress is not None and not 0 <= progress <= 1:
            raise JobError(f"job {job_id}: progress must be in [0, 1], got {progress}")
        if attempts is not None and attempts < 0:
            raise JobError(f"job {job_id}: attempts must be 0 or more, got {attempts}")
        with self._database.write() as connection:
            before = self._job(connection, job_id)
            given = {"progress": progress, "message": message, "attempts": attempts}
            values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
            if state is not None:
                values["state"] = member(JobState, state, "state of a job").value
            connection.execute(sa.update(_TABLE).where(_TABLE.c.id == job_id).values(**values, updated_at=now()))
            after = self._job(connection, job_id)
            if after.state is not before.state:
                self._append_state(connection, job_id, after.state, after.message)
        return after

    def job(self, job_id: str) -> Job:
        """Return one job; JobError when there is none of that name."""
        with self._database.read() as connection:
            return self._job(connection, job_id)

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(_TABLE).order_by(_TABLE.c.created_at, _TABLE.c.id)).mappings()
            return [_as_job(row) for row in rows]

    def job_states(self, job_id: str) -> list[dict[str, Any]]:
        """Return the history of a job's states, oldest first: ``state, message, at``."""
        table = schema.job_events
        query = (
            sa.select(table.c.state, table.c.message, table.c.at).where(table.c.job_id == job_id).order_by(table.c.id)
        )
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def job_folder(self, job_id: str) -> Path:
        """Return the absolute folder of a job, ``runs/<id>``."""
        return inside(self.folder, self.job(job_id).folder)

    def _job(self, connection: sa.Connection, job_id: str) -> Job:
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == job_id)).mappings().first()
        if row is None:
            raise JobError(
                f"study {self.name!r} has no job {job_id!r}; 'napari-ssl jobs list {self.folder}' shows them"
            )
        return _as_job(row)

    @staticmethod
    def _append_state(connection: sa.Connection, job_id: str, state: JobState, message: str) -> None:
        values = {"job_id": job_id, "state": state.value, "message": message, "at": now()}
        connection.execute(sa.insert(schema.job_events).values(values))


def _as_job(row: Any) -> Job:
    return Job(**{**row, "kind": JobKind(row["kind"]), "state": JobState(row["state"])})
