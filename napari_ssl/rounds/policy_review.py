"""A policy stands in for the clinician between two rounds: its verdicts are recorded like a reader's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.quality import curve_kind
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import SpecError
from napari_ssl.io.images import hash_file
from napari_ssl.study.study import Study

__all__ = ["read_truth_folder", "review_by_policy"]


def read_truth_folder(study: Study, folder: Path) -> dict[str, dict[str, Any]]:
    """Find ``<case>.nii.gz`` for the cases of a study in a folder of references.

    Returns
    -------
    dict
        Case id → ``{"path", "frames", "hash"}``, as the oracle takes it; every frame of such a file counts as labelled.

    Raises
    ------
    SpecError
        No file fits a case.
    """
    found = {}
    for case in study.cases(split=Split.TRAIN):
        path = folder / f"{case.id}.nii.gz"
        if path.is_file():
            frames = list(range(case.n_frames))
            found[case.id] = {"path": str(path.resolve()), "frames": frames, "hash": hash_file(path)}
    if not found:
        raise SpecError(f"{folder}: no file named after a training case, such as <case>.nii.gz")
    return found


def review_by_policy(
    study: Study,
    policy: str,
    values: Mapping[str, Any],
    references: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, int]:
    """Let a policy decide about every proposal that nobody has decided about; return the verdicts' counts.

    Cases that an expert has labelled are left alone too. Decisions are recorded under the reader ``policy:<name>``.
    """
    from napari_ssl.strategies.policies import Proposal, make_policy
    from napari_ssl.strategies.references import read_reference

    reader = f"policy:{policy}"
    proposals, segmentations = [], {}
    classifier = study.classifier(curve_kind(study.label_scheme)) if policy == "qc" else None

    def scores(_: Sequence[Proposal]) -> dict[str, float]:
        known = study.scores([s.id for s in segmentations.values()])
        return {case_id: known[s.id].probability_good for case_id, s in segmentations.items() if s.id in known}

    judge = make_policy(
        policy,
        values,
        scheme=study.label_scheme,
        reference_of=None if references is None else lambda case_id: read_reference(references, case_id),
        score_of=scores if classifier is not None else None,
        operating_point=classifier.threshold if classifier is not None else 0.5,
    )
    if judge is None:
        raise SpecError(f"policy {policy} leaves the decisions to people; open the workspace instead")
    for case in study.cases(split=Split.TRAIN):
        segmentation = study.proposal(case.id)
        if segmentation is None or study.reference(case.id) is not None:
            continue
        if study.review_state(case.id)[1] is not None:
            continue
        segmentations[case.id] = segmentation
        proposals.append(
            Proposal(
                case_id=case.id,
                labels=study.read_labels(segmentation),
                frames=segmentation.frames,
                ed_frame=case.ed_frame,
                es_frame=case.es_frame,
            )
        )
    started = time.monotonic()
    counts: Counter[str] = Counter()
    judgements = judge.judge(proposals)
    own_seconds = (time.monotonic() - started) / max(1, len(judgements))
    for case_id, judgement in judgements.items():
        segmentation = segmentations[case_id]
        if judgement.verdict is Verdict.CORRECT and judgement.labels is not None:
            segmentation = study.add_segmentation(
                case_id,
                judgement.labels,
                source=Source.CORRECTED,
                frames=judgement.frames,
                model_id=segmentation.model_id,
                parent_id=segmentation.id,
                reader=reader,
            )
        study.record(
            Decision(
                case_id=case_id,
                verdict=judgement.verdict,
                reader=reader,
                decided_at=datetime.now(UTC),
                seconds=judgement.seconds or own_seconds,
                segmentation_id=segmentation.id,
                label_hash=segmentation.label_hash,
                model_id=segmentation.model_id,
                reason=judgement.reason,
                comment=judgement.comment,
            )
        )
        counts[judgement.verdict.value] += 1
    return dict(counts)
