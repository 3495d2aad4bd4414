"""Sex, height, weight and year of birth of many subjects from one table."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ssl.core.subject import Subject
from napari_ssl.errors import NapariSslError, StudyError

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["SUBJECT_COLUMNS", "SubjectTable", "import_subjects"]

SUBJECT_COLUMNS = ("subject", "sex", "height_cm", "weight_kg", "birth_year")
_OTHER_NAMES = {"subject_id": "subject", "id": "subject", "height": "height_cm", "weight": "weight_kg"}
_SEXES = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_KINDS: Mapping[str, type] = {"height_cm": float, "weight_kg": float, "birth_year": int}
_UNKNOWN = frozenset({"", "na", "n/a", "nan", "none", "unknown", "-"})


@dataclass(frozen=True, slots=True)
class SubjectTable:
    """What a table brought: subjects that it is about, and names in it that the study does not know."""

    subjects: tuple[Subject, ...]
    unknown: tuple[str, ...]


def import_subjects(study: Study, path: str | Path) -> SubjectTable:
    """Take sex, height, weight and year of birth from a CSV table; a malformed line refuses the whole table.

    The first line names the columns: ``subject`` and at least one other of `SUBJECT_COLUMNS`; further ones are passed
    over. Commas, semicolons or tabs part them. An empty cell leaves what the study knows. Sex is F, M, female or male;
    codes such as 0 and 1 are refused, because tables disagree about what they mean. Subjects that are not in the study
    are returned as unknown.

    Raises
    ------
    StudyError
        The file cannot be read, lacks a column, holds a value that no body has, or is about no subject of the study.
    """
    path = Path(path)
    rows = _rows(path)
    known = {s.id: s for s in study.subjects()}
    changes: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    for line, row in rows:
        name = (row.get("subject") or "").strip()
        if name not in known:
            unknown.append(name or f"line {line}")
            continue
        try:
            values = _values(row)
            dataclasses.replace(known[name], **values)  # checks them before anything is written
        except NapariSslError as error:
            raise StudyError(f"{path}, line {line}: {error}; correct the line. Nothing was imported") from error
        changes.setdefault(name, {}).update(values)
    if not changes:
        some = ", ".join(list(known)[:3]) or "none"
        raise StudyError(
            f"{path}: none of its {len(rows)} subjects is in the study, which has {some} …; check the names"
        )
    changed = [study.set_subject(name, **values) for name, values in changes.items()]
    return SubjectTable(tuple(changed), tuple(unknown))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    head = text.splitlines()[0] if text.strip() else ""
    comma = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=comma)
    names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = [_OTHER_NAMES.get(name, name) for name in names]
    if "subject" not in reader.fieldnames or not set(reader.fieldnames) & set(SUBJECT_COLUMNS[1:]):
        raise StudyError(
            f"{path}: the first line must name the columns, subject and at least one of "
            f"{', '.join(SUBJECT_COLUMNS[1:])}; it has {head[:80]!r}"
        )
    return [(reader.line_num, row) for row in reader]


def _values(row: Mapping[str, str]) -> dict[str, Any]:
    """Read what a line says; empty cells say nothing."""
    found: dict[str, Any] = {}
    for name in SUBJECT_COLUMNS[1:]:
        text = (row.get(name) or "").strip()
        if text.lower() in _UNKNOWN:
            continue
        if name == "sex":
            if text.lower() not in _SEXES:
                raise StudyError(f"sex is {text!r}, write F or M")
            found[name] = _SEXES[text.lower()]
        else:
            found[name] = _number(name, text)
    return found


def _number(name: str, text: str) -> float | int:
    try:
        return _KINDS[name](text.replace(",", "."))
    except ValueError:
        raise StudyError(f"{name} is {text!r}, expected a number") from None
