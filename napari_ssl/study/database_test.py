"""Whether a PostgreSQL server can hold a study, asked before anything is made."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from napari_ssl.errors import StudyError
from napari_ssl.study.database_address import DatabaseAddress

__all__ = ["try_server"]


def try_server(url: str) -> str:
    """Connect to a server, change nothing, and return in words who is connected to what.

    Parameters
    ----------
    url : str
        As for `DatabaseAddress`, without a password.

    Raises
    ------
    StudyError
        The address cannot be read or holds a password; the server cannot be reached or refuses the user; the user may
        not make a schema, which a new study needs.
    MissingDependencyError
        The driver is not installed.
    """
    from napari_ssl.study.postgresql_database import PostgresqlDatabase

    address = DatabaseAddress.new(url, "trial")
    database = PostgresqlDatabase(Path(), address, read_only=True)
    question = sa.text(
        "SELECT current_setting('server_version'), current_database(), current_user, "
        "has_database_privilege(current_database(), 'CREATE')"
    )
    try:
        with database.read() as connection:
            version, name, user, may_create = connection.execute(question).one()
    finally:
        database.close()
    if not may_create:
        raise StudyError(
            f"database {address.shown!r}: {user} may not make a schema in {name}; its owner grants that with "
            f'GRANT CREATE ON DATABASE "{name}" TO "{user}"'
        )
    return f"PostgreSQL {version.split()[0]}, database {name}, as {user}: a study can be made there."
