"""A lab that writes down what a strategy asks of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from napari_ssl.core.training import Role, TrainingItem
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Ensemble, SoftLabels, Theta


def training_item(name: str, role: Role) -> TrainingItem:
    has = role.has_labels
    return TrainingItem(
        case_id=name,
        subject_id=name,
        image_path=f"{name}.nii.gz",
        image_hash=name,
        spacing_zyx_mm=(1.0, 1.0, 1.0),
        frames=(0,),
        role=role,
        label_path=f"{name}_gt.nii.gz" if has else None,
        label_hash=f"{name}_gt" if has else None,
    )


class RecordingLab:
    """Every case has ten slices; fits return weights named after their order."""

    def __init__(self, labelled: str, unlabelled: str, *, dice: dict[str, float] | None = None, start=False) -> None:
        self.labelled = ItemSet(training_item(n, Role.LABELLED) for n in labelled)
        self.unlabelled = ItemSet(training_item(n, Role.UNLABELLED) for n in unlabelled)
        self.start = Theta(path=Path("promoted"), hash="promoted") if start else None
        self.held_out_dice = dice or {}
        self.corrected: set[str] = set()
        self.rejected: set[str] = set()
        self.fits: list[dict[str, Any]] = []
        self.held_out: list[str] = []
        self.labelled_by: Theta | Ensemble | None = None
        self.kept_soft = False
        self.planned: tuple[int, ...] = ()
        self.notices: list[str] = []

    def plan(self, *iterations: int) -> None:
        self.planned = iterations

    def notice(self, message: str) -> None:
        self.notices.append(message)

    def iterations(self, items: ItemSet, duration: str, batch_size: int) -> int:
        from napari_ssl.core.duration import Duration

        return Duration.parse(duration).iterations(sum(10 for i in items if i.weight > 0), batch_size)

    def choose_frames(self, items: ItemSet, n: int) -> ItemSet:
        return items

    def begin_with_start(self, wanted: bool) -> Theta | None:
        return self.start if wanted else None

    def fit(self, items: ItemSet, **rest: Any) -> Theta:
        self.fits.append({"items": items, **rest})
        name = f"fit {len(self.fits)}"
        return Theta(path=Path(name), hash=name)

    def predict(self, theta: Theta | Ensemble, items: ItemSet) -> SoftLabels:
        return SoftLabels(theta=theta, items=items)

    def refine(self, soft: SoftLabels, *, crf: Any, step: str, keep_soft: bool = False) -> ItemSet:
        assert crf is None
        self.labelled_by, self.kept_soft = soft.theta, keep_soft
        return ItemSet(
            dataclasses.replace(i, role=Role.PSEUDO, label_path=f"{i.case_id}_pseudo", label_hash=f"{i.case_id}_pseudo")
            for i in soft.items
        )

    def review(self, labels: ItemSet, *, step: str) -> ItemSet:
        kept = (i for i in labels if i.case_id not in self.rejected)
        return ItemSet(dataclasses.replace(i, role=Role.CORRECTED) if i.case_id in self.corrected else i for i in kept)

    def folds(self, items: ItemSet, k: int) -> list[tuple[ItemSet, ItemSet]]:
        names = sorted({i.subject_id for i in items})
        assert len(names) >= k
        return [
            (
                ItemSet(i for i in items if names.index(i.subject_id) % k != fold),
                ItemSet(i for i in items if names.index(i.subject_id) % k == fold),
            )
            for fold in range(k)
        ]

    def dice(self, theta: Theta, items: ItemSet, *, step: str) -> float:
        self.held_out.append("".join(names(items)))
        return self.held_out_dice[theta.hash]


def names(items: ItemSet) -> list[str]:
    return [i.case_id for i in items]
