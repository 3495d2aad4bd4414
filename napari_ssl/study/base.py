"""What every room of a study shares: its folder, its settings and its transactions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_ssl.core.case import CASE_ID_PATTERN
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import StudyError, StudyReadOnlyError
from napari_ssl.measures.flags import RuleLimits
from napari_ssl.study.database import Database
from napari_ssl.study.settings import StudySettings
from napari_ssl.study.storage import is_device_name

__all__ = ["StudyFolder", "check_identifier", "member", "now", "plain_json"]

E = TypeVar("E", bound=StrEnum)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def check_identifier(what: str, value: str) -> str:
    """Return `value` when it may become a file name; StudyError otherwise."""
    if not isinstance(value, str) or not re.fullmatch(CASE_ID_PATTERN, value) or is_device_name(value):
        raise StudyError(
            f"{what} {value!r}: use 1 to 80 letters, digits, '_', '-' or '.', beginning with a letter or digit, and "
            "no name of a device of Windows (con, nul, com1, …)"
        )
    return value


def member(kind: type[E], value: str, what: str) -> E:
    """Return the member of an enumeration; StudyError, listing what there is, when there is none of that name."""
    try:
        return kind(value)
    except ValueError:
        raise StudyError(f"no {what} {value!r}; there are {', '.join(kind)}") from None


def plain_json(value: Any) -> Any:
    """Return `value` as strict JSON types: NumPy becomes plain, NaN and infinities become None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(v) for v in value]
    if value is None or isinstance(value, str | int):
        return value
    raise StudyError(f"{type(value).__name__} {value!r} cannot be stored as JSON; use numbers, texts, lists and dicts")


class StudyFolder:
    """A study folder and its database; the rooms in this package add what can be done with them."""

    def __init__(self, folder: Path, settings: StudySettings, database: Database) -> None:
        self.folder = folder
        self._settings = settings
        self._database = database

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._settings.name

    @property
    def label_scheme(self) -> LabelScheme:
        """Which label value stands for which structure in all label files of the study."""
        return self._settings.label_scheme

    @property
    def preprocessing(self) -> Preprocessing:
        """How images reach the networks of the study."""
        return self._settings.preprocessing

    @property
    def reject_reasons(self) -> tuple[str, ...]:
        """Reasons that a rejection is chosen from."""
        return self._settings.reject_reasons

    @property
    def rule_limits(self) -> RuleLimits:
        """Limits of the plausibility rules: the defaults, or what ``[rules]`` in ``study.toml`` says."""
        return self._settings.rule_limits

    @property
    def read_only(self) -> bool:
        """Whether the study is open for reading only."""
        return self._database.read_only

    @property
    def is_on_server(self) -> bool:
        """Whether the database is on a server, so that each question may take a while."""
        return self._settings.database is not None

    def change_stamp(self) -> tuple[object, ...]:
        """Return something that differs after any process has written to the study."""
        return self._database.change_stamp()

    def _check_writable(self, action: str) -> None:
        if self.read_only:
            raise StudyReadOnlyError(
                f"{self.folder}: cannot {action}, the study is open for reading only; ask for write permission on the "
                "folder or copy the study to a place of your own"
            )
