"""``study.toml``: what is fixed for a whole study and may be read by people."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.reasons import default_reject_reasons
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import NapariSslError, StudyError, StudyVersionError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.measures.flags import RuleLimits
from napari_ssl.study.database_address import DatabaseAddress

__all__ = ["SETTINGS_FILE", "SETTINGS_VERSION", "StudySettings", "read_settings", "write_settings"]

SETTINGS_FILE = "study.toml"
SETTINGS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """Name, label scheme, preprocessing, the reasons for rejections that readers choose from, limits of the rules."""

    name: str
    label_scheme: LabelScheme
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    reject_reasons: tuple[str, ...] | None = None
    rule_limits: RuleLimits = field(default_factory=RuleLimits)
    database: DatabaseAddress | None = None

    def __post_init__(self) -> None:
        reasons = default_reject_reasons(self.label_scheme) if self.reject_reasons is None else self.reject_reasons
        object.__setattr__(self, "reject_reasons", tuple(reasons))
        if not self.name.strip() or len(self.name) > 200:
            raise StudyError(f"study name {self.name!r}: use 1 to 200 characters")
        if not self.reject_reasons or not all(isinstance(r, str) and r.strip() for r in self.reject_reasons):
            raise StudyError("reject_reasons must be a list of at least one non-empty text")


def _value(value: Any) -> str:
    """Write one TOML value; JSON texts are TOML texts but for the character DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return json.dumps(value)


def write_settings(folder: Path, settings: StudySettings) -> None:
    """Write ``study.toml`` whole or not at all."""
    lines = [
        f"schema_version = {SETTINGS_VERSION}",
        f"name = {_value(settings.name)}",
        f"reject_reasons = {_value(settings.reject_reasons)}",
        "",
        "[preprocessing]  # a spacing of 0 keeps the native one",
        *(f"{name} = {_value(value)}" for name, value in dataclasses.asdict(settings.preprocessing).items()),
        *_rule_lines(settings.rule_limits),
        *_database_lines(settings.database),
        "",
        "[label_scheme]",
        f"name = {_value(settings.label_scheme.name)}",
    ]
    for structure in settings.label_scheme.to_dict()["structures"]:
        lines += ["", "[[label_scheme.structures]]", *(f"{key} = {_value(v)}" for key, v in structure.items())]
    write_bytes(folder / SETTINGS_FILE, ("\n".join(lines) + "\n").encode())


def _rule_lines(limits: RuleLimits) -> list[str]:
    """The limits that differ from the defaults; the rest stay free to follow the program."""
    changed = limits.changed()
    return ["", "[rules]", *(f"{name} = {_value(value)}" for name, value in changed.items())] if changed else []


def _database_lines(address: DatabaseAddress | None) -> list[str]:
    if address is None:
        return []
    warning = "# no password here: ~/.pgpass, PGPASSWORD or a service file holds it"
    return ["", f"[database]  {warning}", f"url = {_value(address.url)}", f"schema = {_value(address.schema)}"]


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):  # a single text would become its letters
        raise StudyError(f"reject_reasons is {value!r}, expected a list of texts")
    return tuple(value)


def read_settings(folder: Path) -> StudySettings:
    """Read ``study.toml``.

    Raises
    ------
    StudyError
        Absent, unreadable or malformed.
    StudyVersionError
        Written by a newer version.
    """
    path = folder / SETTINGS_FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"{folder}: not a study, it has no {SETTINGS_FILE}; choose a study's folder or make one with "
            "'napari-ssl study new'"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyError(f"{path}: cannot be read ({error}); restore it from a backup or correct the line") from error
    version = data.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise StudyError(f"{path}: schema_version is {version!r}, expected a number from 1 to {SETTINGS_VERSION}")
    if version > SETTINGS_VERSION:
        raise StudyVersionError(
            f"{path}: schema_version is {version}, this program knows versions up to {SETTINGS_VERSION}; "
            "update napari-ssl. Nothing was changed"
        )
    try:
        return StudySettings(
            name=data["name"],
            label_scheme=LabelScheme.from_dict(data["label_scheme"]),
            preprocessing=Preprocessing(**data["preprocessing"]),
            reject_reasons=_texts(data["reject_reasons"]),
            rule_limits=from_mapping(RuleLimits, data.get("rules", {})),
            database=DatabaseAddress(**data["database"]) if "database" in data else None,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, NapariSslError) as error:
        raise StudyError(f"{path}: malformed ({type(error).__name__}: {error}); correct or restore it") from error
