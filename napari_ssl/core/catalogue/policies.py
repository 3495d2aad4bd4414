"""The policies that there are: who answers when a strategy asks for review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_ssl.core.catalogue.base import NoParameters, PolicyEntry, by_name
from napari_ssl.core.parameters import parameter, validate

__all__ = ["POLICIES", "OracleParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleParameters:
    """A stand-in for the clinician that knows the reference."""

    accept_dice: float = parameter(0.9, "Accept above this mean Dice", low=0, high=1, source="project default")
    correct_cases: int = parameter(
        3, "Correct so many of the other cases, the worst first", low=0, high=100000, source="project default"
    )
    review_cases: int = parameter(
        0, "Look at so many cases and leave the rest undecided (0: all)", low=0, high=1000000, source="project default"
    )

    def __post_init__(self) -> None:
        validate(self)


POLICIES: Mapping[str, PolicyEntry] = by_name(
    PolicyEntry(
        name="accept-all",
        title="Accept all",
        sentence="Every pseudo-label is used, as in the published algorithms.",
        parameters=NoParameters,
    ),
    PolicyEntry(
        name="oracle",
        title="Oracle",
        sentence="Knows the reference: accepts good labels, corrects the worst, rejects the rest. For experiments.",
        parameters=OracleParameters,
    ),
    PolicyEntry(
        name="clinician",
        title="Clinician",
        sentence="The run waits until a reader has decided about its pseudo-labels.",
        parameters=NoParameters,
    ),
)
