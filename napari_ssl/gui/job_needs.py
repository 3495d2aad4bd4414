"""What the window's jobs ask of the computer that does them: graphics cards, memory, cores, time, as a person chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QSpinBox, QWidget

from napari_ssl.core.resources import Resources
from napari_ssl.errors import NapariSslError, SpecError
from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.settings import config_folder, read_json, write_json
from napari_ssl.gui.theme import WheelGuard, wrapped_label
from napari_ssl.jobs.handing import why_waiting
from napari_ssl.jobs.place import place_in_use

__all__ = ["LABELLING", "TRAINING", "NeedsForm", "job_needs", "set_job_needs", "unmet_needs"]

TRAINING, LABELLING = "training", "labelling"
_ROWS = {TRAINING: "Training", LABELLING: "Labelling"}
_FILE = "job_needs.json"
_AUTOMATIC = "automatic"
_COLUMNS = (
    ("gpus", "Graphics cards", -1, 64, "Automatic: one for each process where the device is a graphics card"),
    ("memory_gb", "Memory (GB)", 0, 16_000, "Of the computer. Automatic: on a cluster what was chosen with it"),
    ("cores", "Cores", 0, 4096, "Automatic: on a cluster what was chosen with it"),
    ("hours", "Hours", 0, 8760, "A cluster ends a job after so long; a training then goes on from its checkpoint in "
     "the next. Automatic: what was chosen with the cluster. This computer and servers set no limit"),
)  # fmt: skip


def job_needs(what: str) -> Resources:
    """Return what was chosen for `TRAINING` or `LABELLING`; what is absent or damaged is automatic."""
    kept = read_json(config_folder() / _FILE).get(what)
    kept = kept if isinstance(kept, Mapping) else {}
    try:
        return Resources(
            gpus=kept.get("gpus"),
            memory_mb=round(1000 * float(kept.get("memory_gb") or 0)),
            cores=kept.get("cores") or 0,
            hours=float(kept.get("hours") or 0.0),
        )
    except (SpecError, TypeError, ValueError, OverflowError):
        return Resources()


def set_job_needs(what: str, needs: Resources) -> None:
    """Remember a choice; OSError when the folder of settings cannot be written."""
    path = config_folder() / _FILE
    entry = {"gpus": needs.gpus, "memory_gb": needs.memory_mb / 1000, "cores": needs.cores, "hours": needs.hours}
    write_json(path, {**read_json(path), what: entry})


def unmet_needs() -> str:
    """Return in words what is asked for and no worker there has; asks servers, so call it in a thread."""
    lines = []
    try:
        place = place_in_use()
        for what, title in _ROWS.items():
            if words := why_waiting(place, job_needs(what)):
                lines.append(f"{title} would wait: {words}.")
    except NapariSslError:  # the choice of a place is damaged: the form above says so
        return ""
    return "\n".join(lines)


class NeedsForm(QWidget):
    """Edits what trainings and labellings ask for and keeps it at once; says what no worker has.

    Signals
    -------
    told(str)
        Why a choice could not be kept.
    """

    told = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._guard = WheelGuard(self)
        self._looking = BackgroundTask(self)
        self._looking.done.connect(self._show_unmet)
        self.fields: dict[tuple[str, str], QSpinBox | QDoubleSpinBox] = {}
        self.unmet = wrapped_label()
        self.unmet.setAccessibleName("What no worker has")
        self.unmet.hide()
        self._build()
        self.refresh()

    def _build(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("New jobs ask for"), 0, 0)
        for column, (_name, title, *_rest) in enumerate(_COLUMNS, start=1):
            grid.addWidget(QLabel(title), 0, column)
        for row, (what, title) in enumerate(_ROWS.items(), start=1):
            grid.addWidget(QLabel(title), row, 0)
            kept = _values(job_needs(what))
            for column, (name, caption, least, most, tip) in enumerate(_COLUMNS, start=1):
                field = QSpinBox() if name in ("gpus", "cores") else QDoubleSpinBox()
                field.setRange(least, most)
                if isinstance(field, QDoubleSpinBox):
                    field.setDecimals(1)
                field.setSpecialValueText(_AUTOMATIC)
                field.setValue(kept[name])
                field.setToolTip(tip)
                field.setAccessibleName(f"{caption} that a {title.lower()} asks for")
                field.setKeyboardTracking(False)
                field.valueChanged.connect(lambda _value, what=what: self._keep(what))
                self._guard.protect(field)
                self.fields[what, name] = field
                grid.addWidget(field, row, column)
        grid.addWidget(self.unmet, len(_ROWS) + 1, 0, 1, len(_COLUMNS) + 1)

    def _keep(self, what: str) -> None:
        values = {name: self.fields[what, name].value() for name, *_ in _COLUMNS}
        needs = Resources(
            gpus=None if values["gpus"] < 0 else values["gpus"],
            memory_mb=round(1000 * values["memory_gb"]),
            cores=values["cores"],
            hours=values["hours"],
        )
        try:
            set_job_needs(what, needs)
        except OSError as error:
            self.told.emit(f"What jobs ask for cannot be kept ({error}); it stays as it was.")
            return
        self.refresh()

    def refresh(self) -> None:
        """Look again whether the place of work has what is asked for."""
        self._looking.start(lambda run: unmet_needs())

    def _show_unmet(self, text: str) -> None:
        self.unmet.setText(text)
        self.unmet.setVisible(bool(text))

    def close_tasks(self) -> None:
        """End the thread."""
        self._looking.close()


def _values(needs: Resources) -> dict[str, Any]:
    gpus = -1 if needs.gpus is None else needs.gpus
    return {"gpus": gpus, "memory_gb": needs.memory_mb / 1000, "cores": needs.cores, "hours": needs.hours}
