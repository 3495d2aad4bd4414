"""Ratings as CSV: one row a rating, label versions named by content so that a copy of the study finds them."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_ssl import __version__
from napari_ssl.core.rating import Rating
from napari_ssl.errors import DecisionError, NapariSslError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.study.ratings import RatingRoom

__all__ = ["RATING_COLUMNS", "RatingTableRoom"]

RATING_COLUMNS = (
    "case",
    "segmentation",
    "label_hash",
    "reader",
    "score",
    "seconds",
    "rated_at",
    "app_version",
    "adjudication",
    "taken_back",
)
_NEEDED = ("case", "reader", "score")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 200


class RatingTableRoom(RatingRoom):
    """Exchange ratings with other programs and other copies of the study."""

    def export_ratings_csv(self, path: str | Path) -> Path:
        """Write all ratings, those that were taken back too, in the columns `RATING_COLUMNS`; return the file.

        A text that a spreadsheet would carry out as a formula gets an apostrophe in front; reading takes it off again.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        hashes = {s.id: s.label_hash for s in self.segmentations()}
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(RATING_COLUMNS)
        for r in self.ratings():
            number, at = r.segmentation_id, r.rated_at.astimezone(UTC).isoformat()
            flags = (int(r.is_adjudication), int(r.taken_back))
            writer.writerow(
                [
                    *(r.case_id, number, hashes[number], _inert(r.reader), r.score),
                    *(f"{r.seconds:g}", at, _inert(r.app_version), *flags),
                ]
            )
        write_bytes(Path(path), text.getvalue().encode())
        return Path(path)

    def import_ratings_csv(self, path: str | Path) -> list[Rating]:
        """Add the ratings of a table that are not there yet and return them; a malformed line refuses the whole table.

        Columns ``case``, ``reader`` and ``score`` are required; others of `RATING_COLUMNS` may be missing, any more
        are passed over. Without ``label_hash`` the rating is taken for the newest proposal of the case (without one:
        its reference). Ratings that were taken back are left out.

        Raises
        ------
        DecisionError
            The file cannot be read, lacks a column, or a line holds no rating of this study; names the line.
        """
        path = Path(path)
        try:
            reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
            rows = [(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DecisionError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
        missing = [name for name in _NEEDED if not rows or name not in rows[0][1]]
        if missing:
            raise DecisionError(
                f"{path}: has no rows or no column {missing[0]!r}; the first line names the columns, at least "
                f"{', '.join(_NEEDED)}, with commas between them"
            )
        known = {_identity(r) for r in self.ratings()}
        found: dict[tuple[int, str, int, bool, datetime | None], Rating] = {}
        for line, row in rows:
            try:
                rating = None if _flag(row, "taken_back") else self._from_row(row)
            except (NapariSslError, ValueError, AttributeError, TypeError) as error:
                raise DecisionError(f"{path}, line {line}: {error}; correct the line. Nothing was imported") from error
            if rating is not None and _identity(rating) not in known:
                found[_identity(rating)] = rating
        return self.add_ratings(list(found.values()))

    def _from_row(self, row: dict[str, str]) -> Rating:
        case_id = (row["case"] or "").strip()
        return Rating(
            case_id=case_id,
            segmentation_id=self._rated_version(case_id, (row.get("label_hash") or "").strip()),
            reader=_name(row, "reader"),
            score=_number(row, "score", int, "1, 2, 3, 4 or 0 (image not readable)"),
            seconds=_number(row, "seconds", float, "a number of seconds")
            if (row.get("seconds") or "").strip()
            else 0.0,
            rated_at=_instant((row.get("rated_at") or "").strip()),
            app_version=_name(row, "app_version") or __version__,
            is_adjudication=_flag(row, "adjudication"),
        )

    def _rated_version(self, case_id: str, label_hash: str) -> int:
        if label_hash:
            same = [s for s in self.segmentations(case_id) if s.label_hash == label_hash]
            if not same:
                raise DecisionError(f"case {case_id} has no labels of hash {label_hash[:12]}…")
            return same[-1].id
        labels = self.proposal(case_id) or self.reference(case_id)
        if labels is None:
            raise DecisionError(f"case {case_id} has no labels that could have been rated; predict it first")
        return labels.id


def _inert(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _name(row: dict[str, str], column: str) -> str:
    text = (row.get(column) or "").strip()
    text = text[1:] if text[:1] == "'" and _FORMULA.match(text) else text
    if len(text) > _LONGEST_NAME or not text.isprintable():
        raise DecisionError(f"{column} must be at most {_LONGEST_NAME} printable characters, got {text[:40]!r}")
    return text


def _number(row: dict[str, str], column: str, kind: type, what: str) -> Any:
    text = (row[column] or "").strip()
    try:
        return kind(text)
    except ValueError:
        raise DecisionError(f"{column} must be {what}, got {text!r}") from None


def _flag(row: dict[str, str], column: str) -> bool:
    """Read a mark that says something about the rating: what cannot be read is never taken for no."""
    text = (row.get(column) or "").strip().lower()
    if text not in ("", "0", "1", "false", "true"):
        raise DecisionError(f"{column} must be 0 or 1, got {text!r}")
    return text in ("1", "true")


def _instant(text: str) -> datetime:
    if not text:
        return _EARLIEST
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    at = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    if at is None or not 1970 <= at.year <= 9000:
        raise DecisionError(f"rated_at must be a time such as 2026-01-31T12:00:00+00:00, got {text!r}")
    return at


def _identity(rating: Rating) -> tuple[int, str, int, bool, datetime]:
    """What makes two rows the same rating."""
    return rating.segmentation_id, rating.reader, rating.score, rating.is_adjudication, rating.rated_at
