"""What a reader was doing, kept in the study so that another machine goes on there."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from napari_ssl.study import schema
from napari_ssl.study.base import StudyFolder, now, plain_json

__all__ = ["ReaderMemoryRoom"]

_TABLE = schema.reader_memory


class ReaderMemoryRoom(StudyFolder):
    """Remember small documents by reader and topic, the newest in place of the one before."""

    def remember(self, reader: str, topic: str, document: Any) -> None:
        """Keep a document of plain JSON types."""
        here = (_TABLE.c.reader == reader) & (_TABLE.c.topic == topic)
        values = {"document": plain_json(document), "remembered_at": now()}
        with self._database.write() as connection:
            if connection.execute(sa.update(_TABLE).where(here).values(values)).rowcount == 0:
                connection.execute(sa.insert(_TABLE).values(reader=reader, topic=topic, **values))

    def recall(self, reader: str, topic: str) -> Any:
        """Return what was kept last, None when nothing was."""
        query = sa.select(_TABLE.c.document).where(_TABLE.c.reader == reader, _TABLE.c.topic == topic)
        with self._database.read() as connection:
            return connection.execute(query).scalar()
