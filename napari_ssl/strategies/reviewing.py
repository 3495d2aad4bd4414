"""What happens to pseudo-labels between a judgement and the next training; how a run waits for a clinician."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Role, TrainingItem
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_labels, read_header, read_labels, write_volume
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.policies import Judgement, Proposal
from napari_ssl.training.item_labels import read_item_labels

__all__ = ["Parked", "clinicians_judgements", "document_key", "judged", "proposal_of"]


class Parked(Exception):  # noqa: N818 (no error: the run waits)
    """The run waits for a clinician's decisions about these cases."""

    def __init__(self, message: str, case_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.case_ids = case_ids


def document_key(document: Any) -> str:
    """SHA-256 of plain JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def proposal_of(item: TrainingItem, scheme: LabelScheme) -> Proposal:
    """Return an item's pseudo-labels as a policy wants to see them."""
    return Proposal(
        case_id=item.case_id,
        labels=read_item_labels(item, scheme),
        frames=item.frames,
        ed_frame=item.ed_frame,
        es_frame=item.es_frame,
    )


def judged(item: TrainingItem, judgement: Judgement | None, folder: Path) -> TrainingItem | None:
    """The item as a judgement leaves it: as it is, with corrected labels (stored in `folder`), or None."""
    if judgement is None or judgement.verdict not in (Verdict.ACCEPT, Verdict.CORRECT):
        return None
    if judgement.verdict is Verdict.ACCEPT or judgement.labels is None:
        return item
    digest = hash_labels(judgement.labels)
    path = folder / f"{item.case_id}-{digest[:16]}.nii.gz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, judgement.labels, read_header(item.image_path).geometry)
    return dataclasses.replace(
        item,
        role=Role.CORRECTED,
        frames=judgement.frames,
        label_path=str(path),
        label_hash=digest,
        soft_path=None,
        soft_hash=None,
    )


def clinicians_judgements(folder: Path, labels: ItemSet, step: str) -> Mapping[str, Judgement]:
    """Read what was decided about exactly these labels; park when nothing was."""
    key = document_key(labels.identity())
    decided = (read_document(folder / "decisions.json") or {}).get(key)
    if decided is None:
        proposals = [
            {
                "case_id": i.case_id,
                "label_path": i.label_path,
                "label_hash": i.label_hash,
                "frames": list(i.frames),
                "model_id": i.proposed_by,
            }
            for i in labels
        ]
        write_document(folder / "parked.json", {"key": key, "step": step, "proposals": proposals})
        raise Parked(f"{step}: {len(labels)} pseudo-labels wait for decisions", tuple(i.case_id for i in labels))
    judgements = {}
    for case_id, entry in decided.items():
        corrected = read_labels(entry["label_path"]) if entry["verdict"] == Verdict.CORRECT else None
        judgements[case_id] = Judgement(
            verdict=Verdict(entry["verdict"]), labels=corrected, frames=tuple(entry.get("frames", ()))
        )
    return judgements
