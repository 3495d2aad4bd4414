"""How long to train: "500 epochs" (passes over the training slices) or "300 iterations" (optimiser steps)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from napari_ssl.errors import CatalogueError

__all__ = ["Duration"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training; read from text because forms, command lines and records carry it as text."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``"N epochs"`` or ``"N iterations"``; CatalogueError otherwise."""
        match = re.fullmatch(r"\s*(\d{1,7})\s*(epoch|iteration)s?\s*", text)
        if not match:
            raise CatalogueError(f"duration {text!r}: write a number and a unit, e.g. '500 epochs' or '300 iterations'")
        if not int(match[1]):
            raise CatalogueError(
                f"duration {text!r}: a network that is not trained at all is no model; write 1 or more"
            )
        return cls(int(match[1]), match[2] + "s")

    def iterations(self, n_slices: int, batch_size: int) -> int:
        """Return the number of optimiser steps over `n_slices` training slices; at least one for a positive amount.

        Batches are always full (`training.dataset.SliceOrder` goes on with the next epoch), so N epochs are
        N · n_slices / batch_size steps, rounded up once.
        """
        if self.unit == "iterations":
            return self.amount
        return math.ceil(self.amount * max(1, n_slices) / batch_size)

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}"
