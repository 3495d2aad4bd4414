"""Where the database of a study is: beside the images (SQLite) or on a server (PostgreSQL). Never a password."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from napari_ssl.errors import StudyError

__all__ = ["PASSWORD_PLACES", "DatabaseAddress"]

PASSWORD_PLACES = "~/.pgpass, the environment variable PGPASSWORD or a service file (~/.pg_service.conf)"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """A PostgreSQL database and the schema in it that belongs to one study.

    Parameters
    ----------
    url : str
        ``postgresql://user@host:port/database``, or ``postgresql:///?service=heart``: all of it from the service file.
    schema : str
        PostgreSQL's schema, a folder of tables: one database may hold many studies.
    """

    url: str
    schema: str

    def __post_init__(self) -> None:
        url = self.parsed
        if url.get_backend_name() != "postgresql":
            raise StudyError(
                f"database {self.shown!r}: studies are kept in SQLite or PostgreSQL; "
                "use postgresql://user@host/database, or leave it out for SQLite"
            )
        if url.password is not None or "password" in url.query:
            raise StudyError(
                f"database {self.shown!r}: the address holds a password, readable for everyone in study.toml; "
                f"take it out and put it into {PASSWORD_PLACES}"
            )
        if not _SCHEMA.fullmatch(self.schema):
            raise StudyError(f"database schema {self.schema!r}: use small letters, digits and '_', 63 at most")

    @classmethod
    def new(cls, url: str, study_name: str) -> DatabaseAddress:
        """Return an address with a schema that no other study has."""
        word = re.sub(r"[^a-z0-9]+", "_", study_name.casefold()).strip("_")[:32] or "study"
        return cls(url=url, schema=f"{'s_' if word[0].isdigit() else ''}{word}_{uuid.uuid4().hex[:8]}")

    @property
    def parsed(self) -> sa.URL:
        """The address in its parts; StudyError where it is none."""
        try:
            return sa.make_url(self.url)
        except (sa.exc.ArgumentError, ValueError):  # its text may hold a password: it is not repeated
            raise StudyError(
                "the address of the database cannot be read; use postgresql://user@host/database"
            ) from None

    @property
    def shown(self) -> str:
        """The address as messages may show it."""
        url = self.parsed
        hidden = {name: "***" if "password" in name else value for name, value in url.query.items()}
        return url.set(query=hidden).render_as_string(hide_password=True)
