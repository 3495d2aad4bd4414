"""What there is to choose from: strategies, networks and policies with parameters, presets and papers.

The window and the command line read this and nothing else; the code behind an entry is found through `module`
(``package.module:name``), so that listing what there is imports no torch. A new strategy is one file in
`napari_ssl.strategies` and one entry: a module here with ``ENTRY``, named in the table below.
"""

from __future__ import annotations

from collections.abc import Mapping

from napari_ssl.core.catalogue import (
    alternating_crf,
    asdnet,
    mean_teacher_copy_paste,
    multi_atlas,
    self_labelling,
    semi_qc_seg,
    supervised,
    teacher_student,
    weak_to_strong,
)
from napari_ssl.core.catalogue.alternating_crf import AlternatingCrfParameters
from napari_ssl.core.catalogue.base import (
    CRFParameters,
    FitParameters,
    NetworkEntry,
    NoParameters,
    PolicyEntry,
    StrategyEntry,
    by_name,
    choose,
    preset_values,
)
from napari_ssl.core.catalogue.networks import (
    NETWORKS,
    DSResUNetParameters,
    DynUNetParameters,
    Fcn17Parameters,
    ResUNetParameters,
    SwinUnetParameters,
    UNetParameters,
    VNetParameters,
)
from napari_ssl.core.catalogue.policies import POLICIES, OracleParameters, QcPolicyParameters, RandomParameters
from napari_ssl.core.catalogue.supervised import SupervisedParameters

__all__ = [
    "DEFAULT_STRATEGY",
    "DEPLOYABLE",
    "NETWORKS",
    "POLICIES",
    "STRATEGIES",
    "AlternatingCrfParameters",
    "CRFParameters",
    "DSResUNetParameters",
    "DynUNetParameters",
    "Fcn17Parameters",
    "FitParameters",
    "NetworkEntry",
    "NoParameters",
    "OracleParameters",
    "PolicyEntry",
    "QcPolicyParameters",
    "RandomParameters",
    "ResUNetParameters",
    "StrategyEntry",
    "SupervisedParameters",
    "SwinUnetParameters",
    "UNetParameters",
    "VNetParameters",
    "choose",
    "preset_values",
    "why_not_together",
]

STRATEGIES: Mapping[str, StrategyEntry] = by_name(
    supervised.ENTRY,
    alternating_crf.ENTRY,
    asdnet.ENTRY,
    self_labelling.ENTRY,
    teacher_student.ENTRY,
    mean_teacher_copy_paste.ENTRY,
    semi_qc_seg.ENTRY,
    weak_to_strong.ENTRY,
    multi_atlas.ENTRY,
)

DEFAULT_STRATEGY = "mean-teacher-copy-paste"
"""What a training is offered first: most Dice for the same steps on ACDC with three labelled patients
(``benchmarks/acdc_cine.md``)."""

DEPLOYABLE: Mapping[str, NetworkEntry] = {**NETWORKS, multi_atlas.NETWORK.name: multi_atlas.NETWORK}
"""What a model may hold: a network that is trained, or a set of atlases."""


def why_not_together(strategy: StrategyEntry, network: str) -> str:
    """Say why a strategy cannot make a model of this network (a name in `DEPLOYABLE`); empty when it can."""
    if strategy.network not in NETWORKS and network != strategy.network:
        return f"strategy {strategy.name} trains no network; leave the network out, or choose {strategy.network}"
    if strategy.network in NETWORKS and network not in NETWORKS:
        return f"strategy {strategy.name} cannot train {network}; choose one of: {', '.join(NETWORKS)}"
    return ""
