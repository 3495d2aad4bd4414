"""The choice to let a second model label, too: where it disagrees, the first is probably wrong."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_ssl.core.model import Model, ModelState, trained_apart

__all__ = ["SecondOpinion"]


class SecondOpinion(QCheckBox):
    """Shown when there is a model that was trained apart from the promoted one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model_id = ""
        self.setAccessibleName("Second opinion of another model")
        self.setToolTip(
            "A model that was trained apart labels the same cases, which takes twice the time. Where the two disagree, "
            "Dice is predicted low: the queue shows it, the doubtful cases first. To have such a model, train one that "
            "does not begin with another, with another seed."
        )
        self.hide()

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The models to ask, none where the box is not ticked or not there."""
        return (self._model_id,) if self._model_id and self.isChecked() else ()

    def show_models(self, models: Sequence[Model]) -> None:
        """Offer the newest model that was trained apart from the promoted one."""
        promoted = next((m for m in models if m.state is ModelState.PROMOTED), None)
        apart = [] if promoted is None else trained_apart(promoted, models)
        self._model_id = apart[0].id if apart else ""
        self.setText(f"with a second opinion by {self._model_id}")
        self.setVisible(bool(self._model_id))
