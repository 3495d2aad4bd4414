"""Where a model or a label comes from, down to the decisions behind it, as one readable page.

A model goes back to its order, the models before it and the cases that it learned from; a case that a reader accepted
or corrected goes back to that decision and to the model whose proposal it was about. A label version goes back through
its corrections to the model that proposed it. What was taken back later is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ssl.core.catalogue import DEPLOYABLE, STRATEGIES
from napari_ssl.core.decision import Decision
from napari_ssl.core.model import Model
from napari_ssl.errors import NapariSslError
from napari_ssl.report.html import Cell, Facts, Page, Paragraph, Section, Table, write_page
from napari_ssl.report.provenance_facts import (
    SHORT,
    Record,
    decision_behind,
    decision_table,
    lineage,
    numbers,
    place_tables,
    read_record,
    retractions,
    version_table,
    when,
)
from napari_ssl.study.study import Study

__all__ = ["case_page", "model_page", "write_case_page", "write_model_page"]

_FROM_READERS = ("accepted", "corrected")


# -- models ------------------------------------------------------------------------------------------------------------


def _ancestors(record: Record, model: Model) -> list[Model]:
    """The models before a model, nearest first; what is no longer known is left out."""
    found: dict[str, Model] = {}
    waiting = list(model.parents)
    while waiting:
        parent = record.models.get(waiting.pop(0))
        if parent is not None and parent.id not in found and parent.id != model.id:
            found[parent.id] = parent
            waiting += parent.parents
    return list(found.values())


def _roles(card: Mapping[str, Any] | None) -> str:
    if card is None:
        return "its card is lost"
    counts = Counter(role for _, role, _ in card.get("training_cases", ()))
    return ", ".join(f"{n} {role}" for role, n in counts.items()) or "–"


def _model_facts(record: Record, model: Model, card: Mapping[str, Any] | None) -> Facts:
    strategy, network = STRATEGIES.get(model.strategy), DEPLOYABLE.get(model.network)
    card = card or {}
    return Facts(
        facts={
            "State": model.state.value,
            "Round": str(model.round),
            "Made": when(model.created_at),
            "Strategy": f"{strategy.title} ({strategy.paper})" if strategy else model.strategy,
            "Network": f"{network.title} ({network.paper})" if network else model.network,
            "Started from": card.get("started_from") or "random weights",
            "Models before it": ", ".join(model.parents) or "none",
            "Learned from": _roles(card or None),
            "Order": f"{model.spec_hash[:SHORT]}…, seed {card.get('seed', '–')}",
            "Computed on": f"{card.get('device', '–')}, {card.get('threads', '–')} thread(s)",
            "Who reviewed while training": str(card.get("policy", "–")),
            "Weights (SHA-256)": record.study.model_weights_hash(model.id),
        }
    )


def _case_rows(record: Record, model: Model, card: Mapping[str, Any]) -> list[list]:
    frames = card.get("training_frames", {})
    rows = []
    for case_id, role, label_hash in card.get("training_cases", ()):
        versions = record.versions.get(case_id, ())
        version = next((s for s in versions if s.label_hash == label_hash), None)
        origin = lineage(versions, version)[-1] if version else None
        used = frames.get(case_id)
        left = [f for f in version.frames if f not in used] if version and used is not None else []
        labels = Cell(
            f"version {version.version}" if version else "–", f"without frames {numbers(left)}" if left else ""
        )
        maker = origin.model_id or origin.source.value if origin else "–"
        decisions = record.decisions.get(case_id, ())
        behind = decision_behind(decisions, label_hash, model.created_at) if role in _FROM_READERS else None
        rows.append([case_id, role, labels, maker, *_decided(behind, retractions(decisions))])
    return rows


def _decided(behind: Decision | None, undone: Mapping[int, Decision]) -> list[Cell | str]:
    """Who let a case in, when, after how long, and what they said."""
    if behind is None:
        return ["–"] * 4
    later = undone.get(behind.id)
    reader = Cell(behind.reader, f"taken back since, {when(later.decided_at)}" if later else "")
    return [reader, when(behind.decided_at), f"{behind.seconds:.0f} s", behind.comment or "–"]


_CASE_COLUMNS = ("Case", "Role", "Labels", "Proposed by", "Decided by", "When", "Time spent", "Comment")


def _learned_from(record: Record, model: Model, card: Mapping[str, Any] | None) -> list[Table | Paragraph]:
    if card is None:
        text = (
            "The card of this model is lost, so nobody can tell which cases it learned from. Restore it from a backup."
        )
        return [Paragraph(text=text, is_warning=True)]
    caption = "Every case that entered the training, with the decision that let it in."
    rows = _case_rows(record, model, card)
    return [Table(columns=_CASE_COLUMNS, rows=rows, caption=caption, text_columns=(1, 2, 3, 4, 5, 7))] if rows else []


def _model_sections(record: Record, model: Model) -> list[Section]:
    card = record.card(model.id)
    parameters = {name: str(value) for name, value in (card or {}).get("parameters", {}).items()}
    events = [[when(e["at"]), e["event"].replace("_", " "), e["by"]] for e in record.study.model_events(model.id)]
    sections = [
        Section(title="The model", blocks=[_model_facts(record, model, card)]),
        Section(title="What it learned from", blocks=_learned_from(record, model, card)),
        Section(title="Parameters", blocks=[Facts(facts=parameters)] if parameters else []),
        Section(
            title="What became of it",
            blocks=[Table(columns=("When", "What", "By"), rows=events, text_columns=(1, 2))] if events else [],
        ),
        Section(title="Measured", blocks=_scores(model)),
    ]
    for parent in _ancestors(record, model):
        older = record.card(parent.id)
        blocks = [_model_facts(record, parent, older), *_learned_from(record, parent, older)]
        sections.append(Section(title=f"Before it: {parent.id}", blocks=blocks))
    return sections


def _scores(model: Model) -> list[Table]:
    rows = []
    for split, document in model.metrics.items():
        mean = (document or {}).get("mean") or {}
        dice = mean.get("dice") or {}
        values = ", ".join(f"{name} {value:.3f}" for name, value in dice.items() if value is not None)
        rows.append([f"{split} cases", values or "–", str(len(document.get("cases", ())))])
    return [Table(columns=("Measured on", "Dice", "Cases"), rows=rows, text_columns=(1,))] if rows else []


def model_page(study: Study, model_id: str) -> Page:
    """Return the page about a model.

    Raises
    ------
    UnknownCaseError
        The study has no such model.
    """
    model = study.model(model_id)
    return Page(
        title=f"Where model {model.id} comes from",
        subtitle=f"Study {study.name}",
        sections=_model_sections(read_record(study), model),
    )


def case_page(study: Study, case_id: str, *, reader: str | None = None) -> Page:
    """Return the page about the labels of a case: versions, decisions, the models behind, where they were used.

    With `reader` it holds what that reader may see: in a blind read the labels to judge and nothing that was said of
    them.

    Raises
    ------
    UnknownCaseError
        The study has no such case.
    """
    case, record = study.case(case_id), read_record(study)
    versions, decisions = record.versions.get(case_id, ()), record.decisions.get(case_id, ())
    view = None if reader is None else study.reader_view(case_id, reader)
    is_blind = view is not None and view.is_blind
    if is_blind:
        versions = [v for v in versions if v.id == view.task.segmentation_id]
        decisions = study.visible_decisions(case_id, reader)
    facts = Facts(
        facts={
            "Subject": case.subject_id,
            "Split": case.split.value,
            "Group": case.group or "–",
            "Image": case.image_path,
            "Image (SHA-256)": case.image_hash,
            "Frames × slices": f"{case.n_frames} × {case.n_slices}",
        }
    )
    about = decision_table(decisions, versions, "Every decision, oldest first; decisions are appended, never changed.")
    places = [] if is_blind else place_tables(study, case_id)
    proposers = [] if is_blind else list(dict.fromkeys(s.model_id for s in versions if s.model_id))
    sections = [
        Section(title="The case", blocks=[facts]),
        Section(title="Label versions", blocks=[version_table(versions)] if versions else []),
        Section(title="Decisions", blocks=[*([about] if decisions else []), *places]),
        Section(title="Trainings that it entered", blocks=[] if is_blind else _uses(record, case_id)),
    ]
    for model_id in proposers:
        model = record.models.get(model_id)
        if model is not None:
            card = record.card(model_id)
            blocks = [_model_facts(record, model, card), *_learned_from(record, model, card)]
            sections.append(Section(title=f"Proposed labels: {model_id}", blocks=blocks))
    return Page(title=f"Where the labels of {case.id} come from", subtitle=f"Study {study.name}", sections=sections)


def _uses(record: Record, case_id: str) -> list[Table]:
    rows = []
    for model in record.models.values():
        card = record.card(model.id) or {}
        for name, role, label_hash in card.get("training_cases", ()):
            if name == case_id:
                version = next((s for s in record.versions.get(case_id, ()) if s.label_hash == label_hash), None)
                rows.append([model.id, role, f"version {version.version}" if version else "–", when(model.created_at)])
    return [Table(columns=("Model", "Role", "Labels", "Made"), rows=rows, text_columns=(1, 2, 3))] if rows else []


def write_model_page(study: Study, model_id: str, path: Path) -> Path:
    """Write the page about a model; NapariSslError when it does not exist or the file cannot be written."""
    return _write(model_page(study, model_id), path)


def write_case_page(study: Study, case_id: str, path: Path, *, reader: str | None = None) -> Path:
    """Write the page about the labels of a case, as a reader may see it; NapariSslError as for models."""
    return _write(case_page(study, case_id, reader=reader), path)


def _write(page: Page, path: Path) -> Path:
    try:
        return write_page(page, Path(path))
    except OSError as error:
        raise NapariSslError(f"{path}: cannot be written ({error.strerror}); choose another file with --out") from error
