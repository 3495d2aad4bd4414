"""The order to label a whole cohort: bounded batches, from one order that does not grow with it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ssl.core.resources import Resources, resources_from_dict
from napari_ssl.errors import SpecError

__all__ = ["COHORT_KIND", "CohortSpec", "cohort_spec_from_dict"]

COHORT_KIND = "cohort"
_MOST_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSpec:
    """What to label and how; the size of the order does not grow with the cohort.

    Parameters
    ----------
    model_id : str
        The model that labels, whatever is promoted meanwhile.
    cases : tuple of str or None
        None: every training case that no person has labelled or decided when a batch is due.
    crf, keep_largest_component, confidence, ensemble, memory_limit_mb, workers, device, resources
        As of `napari_ssl.rounds.prediction_spec`; what is asked for holds for the whole and for each batch.
    batch_size : int
        Cases in a batch.

    Raises
    ------
    SpecError
        No case, or a number out of range.
    """

    model_id: str
    cases: tuple[str, ...] | None = None
    crf: bool = True
    keep_largest_component: bool = False
    confidence: tuple[str, ...] = ()
    ensemble: tuple[str, ...] = ()
    memory_limit_mb: int = 0
    workers: int = 1
    batch_size: int = 250
    device: str = "auto"
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if self.cases is not None:
            object.__setattr__(self, "cases", tuple(self.cases))
            if not self.cases:
                raise SpecError("no case to label")
        for name in ("confidence", "ensemble"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        numbers = {"workers": (1, 256), "batch_size": (1, _MOST_AT_ONCE), "memory_limit_mb": (0, 1_000_000)}
        for name, (least, most) in numbers.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise SpecError(f"{name} must be {least} to {most:,}, got {value!r}")
        texts = (self.model_id, self.device, *(self.cases or ()), *self.confidence, *self.ensemble)
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise SpecError(f"a cohort's model, device, cases, confidence and ensemble are names, got {wrong[0]!r}")

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `napari_ssl.rounds.prediction_spec` for every batch."""
        left_out = ("cases", "batch_size")
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        return {**given, "confidence": self.confidence or None}

    @property
    def hash(self) -> str:
        """SHA-256 over what decides which labels are made: equal orders are the same work."""
        helpers = ("workers", "batch_size", "device", "resources", "memory_limit_mb")
        document = {name: value for name, value in dataclasses.asdict(self).items() if name not in helpers}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types with ``"kind": "cohort"``."""
        return {"kind": COHORT_KIND, **dataclasses.asdict(self)}


def cohort_spec_from_dict(document: Mapping[str, Any]) -> CohortSpec:
    """Read what `CohortSpec.to_dict` wrote; SpecError names what is malformed."""
    try:
        data = {name: value for name, value in document.items() if name != "kind"}
        data["resources"] = resources_from_dict(data.get("resources"))
        return CohortSpec(**data)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"malformed order: {type(error).__name__}: {error}") from error
