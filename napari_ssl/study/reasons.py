"""The reasons for rejections that a study offers, kept in ``study.toml``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_ssl.errors import StudyError
from napari_ssl.study.settings import read_settings, write_settings

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["MOST_CHARACTERS", "change_reject_reasons"]

MOST_CHARACTERS = 80


def change_reject_reasons(study: Study, reasons: Sequence[str]) -> tuple[str, ...]:
    """Offer other reasons from now on and return them; decisions keep the words that they were given with.

    What others changed in ``study.toml`` meanwhile is kept.

    Raises
    ------
    StudyError
        None is left, one stands twice, or one is too long for a button.
    StudyReadOnlyError
        The study is open for reading only.
    StorageError
        ``study.toml`` cannot be written.
    """
    study._check_writable("change the reasons for rejections")
    kept = tuple(text for text in (" ".join(reason.split()) for reason in reasons) if text)
    if not kept:
        raise StudyError("a rejection needs a reason; leave at least one in the list")
    twice = next((r for i, r in enumerate(kept) if r.lower() in (other.lower() for other in kept[:i])), None)
    if twice is not None:
        raise StudyError(f"reason {twice!r} stands twice; take one of them away")
    long = next((r for r in kept if len(r) > MOST_CHARACTERS), None)
    if long is not None:
        raise StudyError(f"reason {long[:30]!r}… has {len(long)} characters; use at most {MOST_CHARACTERS}")
    settings = dataclasses.replace(read_settings(study.folder), reject_reasons=kept)
    write_settings(study.folder, settings)
    study._settings = settings
    return kept
