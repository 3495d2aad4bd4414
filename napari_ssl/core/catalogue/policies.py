"""The policies that there are: who answers when a strategy asks for review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_ssl.core.catalogue.base import NoParameters, PolicyEntry, by_name
from napari_ssl.core.parameters import parameter, validate

__all__ = ["POLICIES", "OracleParameters", "QcPolicyParameters", "RandomParameters"]

_RUIJSINK = "Ruijsink et al. 2020, Secs. 3.1 and 3.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleParameters:
    """A stand-in for the clinician that knows the reference and whose time is counted."""

    accept_dice: float = parameter(0.9, "Accept above this mean Dice", low=0, high=1, source="project default")
    correct_cases: int = parameter(
        3, "Correct so many of the other cases, the worst first", low=0, high=100000, source="project default"
    )
    review_cases: int = parameter(
        0, "Look at so many cases and leave the rest undecided (0: all)", low=0, high=1000000, source="project default"
    )
    minutes: float = parameter(
        0.0, "Clinician's time for one round (0: no limit)", unit="min", low=0, high=100000, source="project default"
    )
    frame_seconds: float = parameter(
        0.0, "Time to correct one frame (0: no limit)", unit="s", low=0, high=36000, source="project default"
    )
    seconds_accept: float = parameter(
        12.0, "Time to look at a case and accept it", unit="s", low=0, high=3600, source="assumed: five looks a minute"
    )
    seconds_reject: float = parameter(
        15.0,
        "Time to look at a case and reject it or begin to correct it",
        unit="s",
        low=0,
        high=3600,
        source="assumed: a look and the choice of a reason",
    )
    seconds_slice: float = parameter(
        30.0,
        "Time to redraw one slice",
        unit="s",
        low=0.1,
        high=3600,
        source="assumed: half of drawing it, 60 s (Bai 2017: 20 min for the about 20 slices of ED and ES)",
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomParameters:
    """How many pseudo-labels chance accepts."""

    n: int = parameter(30, "Accept so many cases, drawn at random", low=1, high=1000000, source=_RUIJSINK)
    seed: int = parameter(0, "Decides the draw, together with the run's seed", low=0, high=2**32 - 1, source="chance")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class QcPolicyParameters:
    """What quality control lets pass."""

    threshold: float = parameter(
        0.0,
        "Accept from this probability of good (0: the classifier's operating point)",
        low=0,
        high=1,
        source="weighted Youden index; " + _RUIJSINK,
    )
    n_best: int = parameter(
        30, "Of these accept so many, the best first (0: all)", low=0, high=1000000, source=_RUIJSINK
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
        name="qc",
        title="Quality control",
        sentence="Accepts the pseudo-labels whose volume curves the classifier finds good, the best first.",
        parameters=QcPolicyParameters,
    ),
    PolicyEntry(
        name="random",
        title="Random",
        sentence="Accepts so many cases as given, drawn by chance: what quality control is compared with.",
        parameters=RandomParameters,
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
