"""The choice to let a second model label, too: where it disagrees, the first is probably wrong."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QCheckBox, QSizePolicy, QSpinBox, QWidget

from napari_ssl.core.model import Model, ModelState, trained_apart

__all__ = ["SecondOpinion", "seed_field"]

_LARGEST = 2**31 - 1
_NONE_YET = "second opinion: no model for it yet"


def seed_field() -> QSpinBox:
    """Return the field of a training's seed: another seed is what makes a model that can be asked beside the first."""
    field = QSpinBox()
    field.setRange(0, _LARGEST)
    field.setAccessibleName("Random seed")
    field.setToolTip(
        "Decides what is left to chance; the same seed gives the same model. For a second opinion (tab Models) train "
        "with another seed a model that does not begin with the promoted one"
    )
    return field


class SecondOpinion(QCheckBox):
    """Shown when a model is promoted; it can be ticked when there is one that was trained apart from that."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model_id = ""
        self.setAccessibleName("Second opinion of another model")
        self.setToolTip(
            "A model that was trained apart labels the same cases, which takes twice the time. Where the two disagree, "
            "Dice is predicted low: the queue shows it, the doubtful cases first. To have such a model, train one that "
            "does not begin with the promoted one, with another random seed (tab Training)."
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # never widens its panel
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
        self.setText(f"with a second opinion by {self._model_id}" if self._model_id else _NONE_YET)
        self.setEnabled(bool(self._model_id))
        self.setVisible(promoted is not None)
