"""The form that a training is started from: strategy, parameters, what will enter, start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_ssl.core.catalogue import (
    DEFAULT_STRATEGY,
    DEPLOYABLE,
    POLICIES,
    STRATEGIES,
    FitParameters,
    StrategyEntry,
    preset_values,
    why_not_together,
)
from napari_ssl.core.training import Preprocessing, StartModel
from napari_ssl.gui.parameter_form import ParameterForm
from napari_ssl.gui.second_opinion import seed_field
from napari_ssl.gui.theme import WheelGuard, heading, muted_label, set_margins, wrapped_label
from napari_ssl.gui.training_processes import ProcessesForm
from napari_ssl.gui.training_start import begins_with

if TYPE_CHECKING:
    from napari_ssl.rounds import TrainingSetCounts

__all__ = ["TrainingOrder", "TrainingSetup", "main_parameters"]

_DEFAULT_PRESET = "quick"
_WINDOW_POLICIES = ("accept-all", "qc", "random", "clinician")
_COUNTS = (
    ("labelled", "Expert labels", "enter with the labels that came with the images"),
    ("accepted", "Accepted", "enter with the proposal that a reader accepted"),
    ("corrected", "Corrected", "enter with the labels that a reader painted"),
    ("unlabelled", "Unlabelled", "enter without labels where the strategy uses such cases"),
    ("rejected_left_out", "Rejected (left out)", "come back with the next proposal"),
    ("wrong_frames", "Frames judged wrong", "stay out, though their cases were accepted or corrected"),
    ("validation", "Validation", "measured while training, never trained on"),
    ("test", "Test", "old and new model are compared on these; never trained on"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """What the form asks for; the arguments of `rounds.training_spec` besides the study."""

    strategy: str
    network: str
    preset: str | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    network_overrides: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "accept-all"
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    processes: int = 1
    seed: int = 0


def main_parameters(entry: StrategyEntry) -> tuple[str, ...]:
    """Return the parameters that are always on show: the strategy's own, without the CRF's, and the learning rate."""
    shared = FitParameters.__dataclass_fields__
    own = [
        name
        for name, f in entry.parameters.__dataclass_fields__.items()
        if name not in shared and not f.metadata["title"].startswith("CRF:")
    ]
    return (*own, "learning_rate")


class TrainingSetup(QWidget):
    """Edits a `TrainingOrder`; `start_requested` carries it. A start that is not possible says why under the button.

    `changed` follows every change of what is chosen.
    """

    start_requested = Signal(object)
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: TrainingSetCounts | None = None
        self._obstacle = "Open or create a study first."
        self._dimensions = 2
        self._has_classifier = False
        self._preprocessing: Preprocessing | None = None
        self._start: StartModel | None = None
        self.strategy = _combo([(e.title, e.name) for e in STRATEGIES.values()])
        self.strategy.setCurrentIndex(self.strategy.findData(DEFAULT_STRATEGY))
        self.network = _combo([(e.title, e.name) for e in DEPLOYABLE.values()])
        self.preset = _combo([])
        self.policy = _combo([(POLICIES[n].title, n) for n in _WINDOW_POLICIES])
        self.device = _combo([("Automatic", "auto"), ("Processor (CPU)", "cpu"), ("Graphics card (CUDA)", "cuda")])
        self.processes = ProcessesForm()
        self.form = ParameterForm()
        self.network_form = ParameterForm("Network")
        self.sentence = wrapped_label()
        self.paper = muted_label()
        self._policy_sentence = muted_label()
        self._policy_caption = QLabel("Review")
        self.policy_form = ParameterForm()
        self.brought = muted_label()
        self.begins = muted_label()
        self.selection = wrapped_label()
        self.start_button = QPushButton("Start training")
        self.reason = muted_label()
        self._count_labels: dict[str, tuple[QLabel, QLabel]] = {}
        self._guard = WheelGuard(self)
        self.seed = seed_field()
        self._guard.protect(self.strategy, self.preset, self.network, self.policy, self.device, self.seed)
        self._build()
        self.strategy.currentIndexChanged.connect(self._choose_strategy)
        self.preset.currentIndexChanged.connect(self._choose_preset)
        self.network.currentIndexChanged.connect(self._choose_network)
        self.policy.currentIndexChanged.connect(self._show_policy)
        for form in (self.form, self.network_form, self.policy_form):
            form.changed.connect(self._refresh_start)
        self.start_button.clicked.connect(self.start)
        self._choose_network()
        self._choose_strategy()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        set_margins(column)
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        top.addRow("Strategy", self.strategy)
        column.addLayout(top)
        column.addWidget(self.sentence)
        column.addWidget(self.paper)
        choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        choices.addRow("Preset", self.preset)
        choices.addRow("Network", self.network)
        choices.addRow(self._policy_caption, self.policy)
        self._policy_caption.setBuddy(self.policy)
        column.addLayout(choices)
        column.addWidget(self._policy_sentence)
        column.addWidget(self.policy_form)
        column.addWidget(self.brought)
        column.addWidget(self.begins)
        column.addWidget(heading("What will enter"))
        column.addLayout(self._build_counts())
        column.addWidget(self.selection)
        column.addWidget(self.start_button)
        column.addWidget(self.reason)
        column.addWidget(heading("Parameters"))
        column.addWidget(self.form)
        column.addWidget(self.network_form)
        place = QFormLayout()
        place.addRow("Random seed", self.seed)
        place.addRow("Compute on", self.device)
        column.addLayout(place)
        column.addWidget(self.processes)
        column.addStretch(1)

    def _build_counts(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(1)
        for index, (name, title, tip) in enumerate(_COUNTS):
            number, caption = QLabel("–"), QLabel(title)
            caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            caption.setWordWrap(True)
            number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            font = number.font()
            font.setBold(True)
            number.setFont(font)
            for label in (number, caption):
                label.setToolTip(f"{title}: {tip}")
            row, column = index % 4, 2 * (index // 4)
            grid.addWidget(number, row, column)
            grid.addWidget(caption, row, column + 1)
            self._count_labels[name] = (number, caption)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return grid

    # -- choices -------------------------------------------------------------------------------------------------

    @property
    def entry(self) -> StrategyEntry:
        """The chosen strategy."""
        return STRATEGIES[self.strategy.currentData()]

    def _choose_strategy(self) -> None:
        entry = self.entry
        self.sentence.setText(entry.sentence)
        self.paper.setText(entry.paper)
        self.preset.blockSignals(True)
        self.preset.clear()
        for name in sorted(entry.presets, key=lambda n: n != _DEFAULT_PRESET):
            self.preset.addItem(name.capitalize(), name)
        self.preset.addItem("Defaults", None)
        self.preset.blockSignals(False)
        for widget in (self._policy_caption, self.policy, self._policy_sentence, self.policy_form):
            widget.setVisible(entry.uses_unlabelled)
        self._show_policy()
        self._choose_preset()
        self.show_counts(self._counts)

    def _choose_preset(self) -> None:
        entry, preset = self.entry, self.preset.currentData() or ""
        self.network.setCurrentIndex(self.network.findData(entry.preset_network.get(preset, entry.network)))
        changed = entry.preset_preprocessing.get(preset, {})
        texts = [f"{name.replace('_', ' ')} {value}" for name, value in changed.items()]
        self.brought.setText(f"The preset changes the preprocessing: {', '.join(texts)}.")
        self.brought.setVisible(bool(changed))
        values = preset_values(self.entry, self.preset.currentData(), {})
        self.form.set_type(self.entry.parameters, values, main_parameters(self.entry))
        self._refresh_start()

    def _choose_network(self) -> None:
        entry = DEPLOYABLE[self.network.currentData()]
        self.network.setToolTip(f"{entry.sentence} ({entry.paper})")
        self.network_form.set_type(entry.parameters, {}, ())
        self._refresh_start()

    def _show_policy(self) -> None:
        entry = POLICIES[self.policy.currentData()]
        self._policy_sentence.setText(entry.sentence)
        names = tuple(entry.parameters.__dataclass_fields__)
        self.policy_form.set_type(entry.parameters, {}, names)
        self._refresh_start()

    def order(self) -> TrainingOrder:
        """Return what the form asks for."""
        return TrainingOrder(
            strategy=self.entry.name,
            network=self.network.currentData(),
            preset=self.preset.currentData(),
            overrides=self.form.overrides(),
            network_overrides=self.network_form.overrides(),
            policy=self.policy.currentData() if self._learns_from_unlabelled else "accept-all",
            policy_parameters=self.policy_form.overrides() if self._learns_from_unlabelled else {},
            device=self.processes.device_for(self.device.currentData()),
            processes=self.processes.number_for(self.device.currentData()),
            seed=self.seed.value(),
        )

    # -- start ---------------------------------------------------------------------------------------------------

    def set_obstacle(self, text: str) -> None:
        """Say why nothing can be started now, whatever the form holds; empty when it can."""
        self._obstacle = text
        self._refresh_start()

    def show_counts(self, counts: TrainingSetCounts | None) -> None:
        """Show what would enter a training now; None while it is not known."""
        self._counts = counts
        for name, (number, _) in self._count_labels.items():
            number.setText("–" if counts is None else str(getattr(counts, name)))
        self._refresh_start()

    def why_not(self) -> str:
        """Return why a training cannot be started, empty when it can."""
        if self._obstacle:
            return self._obstacle
        if self._counts is None:
            return "Counting the cases…"
        counts = self._counts
        if counts.labelled + counts.accepted + counts.corrected == 0:
            return "No case with labels to learn from: import cases with labels, or accept or correct proposals first."
        if self._learns_from_unlabelled and counts.unlabelled == 0:
            return (
                "This strategy also learns from unlabelled cases and there is none: import images or choose Supervised."
            )
        mismatch = self._why_not_network() or self._why_not_quality()
        if mismatch:
            return mismatch
        problems = {**self.form.errors(), **self.network_form.errors(), **self.policy_form.errors()}
        if problems:
            return f"{len(problems)} parameter{'s' if len(problems) > 1 else ''} cannot be used as written; see below."
        return ""

    @property
    def _learns_from_unlabelled(self) -> bool:
        return self.entry.learns_from_unlabelled(self.form.values())

    def _why_not_network(self) -> str:
        network = DEPLOYABLE[self.network.currentData()]
        if mismatch := why_not_together(self.entry, network.name):
            return f"{mismatch[0].upper()}{mismatch[1:]}."
        brought = self.entry.preset_preprocessing.get(self.preset.currentData() or "", {})
        dimensions = brought.get("dimensions", self._dimensions)
        if dimensions in network.dimensions:
            return ""
        takes = " or ".join(f"{d}D" for d in network.dimensions)
        return (
            f"{network.title} takes {takes} images, the preprocessing makes {dimensions}D ones: choose another network."
        )

    @property
    def asks_quality(self) -> bool:
        """Whether a QC classifier takes part in what is chosen."""
        by_policy = self._learns_from_unlabelled and self.policy.currentData() == "qc"
        arm = self.form.values().get("arm")
        return by_policy or (self.entry.uses_qc and arm in (None, "qc"))

    def _why_not_quality(self) -> str:
        if self.asks_quality and not self._has_classifier:
            return "Quality control needs a classifier: train one first (tab Quality)."
        return ""

    def set_facts(
        self,
        *,
        dimensions: int,
        has_classifier: bool,
        preprocessing: Preprocessing | None = None,
        start: StartModel | None = None,
        n_gpus: int = 0,
    ) -> None:
        """Tell what the study has.

        Parameters
        ----------
        dimensions : int
            Of its preprocessed images.
        has_classifier : bool
            Whether it has a QC classifier.
        preprocessing : Preprocessing, optional
            The study's, and `start`, its promoted model: what a training begins with is said.
        n_gpus : int
            Graphics cards that may share a training.
        """
        self.processes.set_most(n_gpus)
        self._dimensions, self._has_classifier = dimensions, has_classifier
        self._preprocessing, self._start = preprocessing, start
        self._refresh_start()

    def show_selection(self, text: str, reasons: str = "") -> None:
        """Explain which pseudo-labels would be let in, with the reasons as tooltip; an empty text hides it."""
        self.selection.setText(text)
        self.selection.setToolTip(reasons)
        self.selection.setVisible(bool(text))

    def _refresh_start(self) -> None:
        self.changed.emit()
        number, caption = self._count_labels["unlabelled"]
        caption.setText("Unlabelled" if self._learns_from_unlabelled else "Unlabelled (unused)")
        for label in (number, caption):
            label.setEnabled(self._learns_from_unlabelled)
        brought = self.entry.preset_preprocessing.get(self.preset.currentData() or "", {})
        text = begins_with(
            self._start, self.network.currentData(), self.network_form.values(), self._preprocessing, brought
        )
        self.begins.setText(text)
        self.begins.setVisible(bool(text))
        reason = self.why_not()
        self.start_button.setEnabled(not reason)
        if not reason and self._counts is not None and self._counts.validation == 0:
            reason = "No validation case has labels: the Dice cannot be followed while training."
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))

    def start(self) -> None:
        """Ask for the training that the form describes, if it is possible now."""
        if not self.why_not():
            self.start_requested.emit(self.order())


def _combo(choices: list[tuple[str, Any]]) -> QComboBox:
    combo = QComboBox()
    for title, value in choices:
        combo.addItem(title, value)
    combo.setMinimumContentsLength(8)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return combo
