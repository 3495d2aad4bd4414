"""What the window says and offers when the journal of unsaved strokes is damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_ssl.errors import StorageError
from napari_ssl.gui.background import in_words
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.study.study import Study

__all__ = ["damage_text", "ways_on"]


def damage_text(loaded: LoadedCase) -> str:
    """Return what was lost, what was not, and what to do; empty where the journal is whole."""
    if loaded.damaged_journal is None:
        return ""
    n = loaded.n_recovered
    kept = "no unsaved stroke" if n == 0 else "1 unsaved stroke" if n == 1 else f"{n} unsaved strokes"
    return (
        f"{loaded.case.id}: the journal of your strokes is damaged (by the disk, or by hand). Up to the "
        f"damage {kept} could be read; those after it are not shown. {loaded.damaged_journal} keeps the whole file: "
        "look at the case and paint again what is absent, or restore the journal from a backup and open the case anew."
    )


def ways_on(
    study: Study, case_id: str, reader: str, *, reopen: Callable[[], object], tell: Callable[[str], object]
) -> tuple[tuple[str, Callable[[], object]], ...]:
    """Return the buttons for a case that cannot be shown because its journal cannot be read; none for other causes.

    Parameters
    ----------
    reopen : callable
        Opens the case again.
    tell : callable
        Called with what happened, in words.
    """
    if study.read_only or not EditJournal.problem(study.folder, case_id, reader):
        return ()

    def go_on() -> None:
        try:
            kept = EditJournal.put_aside_damaged(study.folder, case_id, reader)
        except StorageError as error:
            tell(in_words(error))
            return
        reopen()
        if kept is not None:
            tell(f"{case_id} is shown without its unsaved strokes; {kept} keeps the damaged journal.")

    return (("Go on without these strokes", go_on),)
