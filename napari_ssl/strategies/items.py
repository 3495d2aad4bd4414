"""Sets of training items that add and scale as in the papers' loss functions: ``L + λ · U``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from napari_ssl.core.training import TrainingItem

__all__ = ["ItemSet"]


class ItemSet:
    """An immutable set of items. ``a + b`` pools, ``λ * a`` scales the weight of every item's loss."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[TrainingItem] = ()) -> None:
        self._items = tuple(items)

    def __iter__(self) -> Iterator[TrainingItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __add__(self, other: ItemSet) -> ItemSet:
        return ItemSet((*self, *other))

    def __rmul__(self, factor: float) -> ItemSet:
        return ItemSet(dataclasses.replace(i, weight=i.weight * factor) for i in self)

    def identity(self) -> list[list[Any]]:
        """What decides the result of a step over these items, as plain JSON; paths are left out."""
        return [
            [
                *(i.case_id, i.subject_id, i.image_hash, i.label_hash, i.soft_hash),
                *(list(i.spacing_zyx_mm), list(i.frames), i.role.value, i.weight),
            ]
            for i in self
        ]
