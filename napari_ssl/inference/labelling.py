"""From an image to label values and confidence: the network, then the CRF or the plain arg-max.

The same function makes the pseudo-labels of a strategy, the proposals that a clinician sees, and the labels that an
evaluation compares with the reference, so that all three see the same post-processing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.job import ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing
from napari_ssl.inference.confidence import MemberVotes, max_probability, normalised_entropy, to_uint8
from napari_ssl.inference.confidence_network import network_confidence
from napari_ssl.inference.efficiency import Meter
from napari_ssl.inference.intensity import grey_levels
from napari_ssl.inference.predict import iter_frames
from napari_ssl.networks.discriminators import ConfidenceNetwork
from napari_ssl.refinement.components import keep_largest_component
from napari_ssl.refinement.crf import refine_frame

__all__ = ["Labelling", "LabellingStopped", "Member", "label_image"]


class LabellingStopped(Exception):  # noqa: N818 (no error: somebody asked)
    """The labelling was asked to stop; nothing of the case under way was kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """Another model that labels the same image, for the variance between models."""

    network: torch.nn.Module
    preprocessing: Preprocessing


_SURENESS = {"probability": max_probability, "entropy": lambda p: 1.0 - normalised_entropy(p)}


def _sureness(
    network: ConfidenceNetwork | None,
    preprocessing: Preprocessing,
    spacing_zyx_mm: Sequence[float],
    batch_size: int,
) -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
    """What turns the softmax of a frame ``(Z, K, Y, X)`` into confidence ``(Z, Y, X)``, by kind."""
    if network is None:
        return dict(_SURENESS)
    judge = lambda p: network_confidence(  # noqa: E731
        network, p, preprocessing=preprocessing, spacing_zyx_mm=spacing_zyx_mm, batch_size=batch_size
    )
    return {**_SURENESS, "network": judge}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelling:
    """What a network says about an image.

    `labels` ``(T, Z, Y, X) uint8`` in the values of the scheme, zero outside the frames asked for; `confidence`
    ``(T, Z, Y, X) uint8``, 255 = certain; `changed` is the share of voxels that the
    CRF changed; `probabilities` ``(F, K, Z, Y, X) uint8`` (255 = 1) of the frames asked for, where they are kept;
    `further` are confidence maps of other kinds, by kind; `by_members` are the label maps of the members by arg-max, as
    `labels`.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    changed: float
    probabilities: NDArray[np.uint8] | None = None
    further: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    by_members: tuple[NDArray[np.uint8], ...] = ()


def label_image(
    network: torch.nn.Module,
    image: NDArray[np.generic],
    *,
    preprocessing: Preprocessing,
    spacing_zyx_mm: Sequence[float],
    scheme: LabelScheme,
    frames: Sequence[int],
    device: torch.device,
    crf: CRFParameters | None = None,
    confidence_from: str = "probability",
    confidence_network: ConfidenceNetwork | None = None,
    also: Sequence[str] = (),
    members: Sequence[Member] = (),
    largest_component: bool = False,
    batch_size: int = 20,
    should_stop: ShouldStop | None = None,
    on_frame: Callable[[int], None] | None = None,
    keep_probabilities: bool = False,
    meter: Meter | None = None,
) -> Labelling:
    """Label some frames of an image ``(T, Z, Y, X)``.

    Parameters
    ----------
    crf : CRFParameters, optional
        Refine each slice (Bai 2017, Eqs. 3 and 4); without, the arg-max stays.
    confidence_from : str
        ``"probability"``, the largest softmax value, ``"entropy"``, 1 − normalised entropy, ``"network"``, what
        `confidence_network` says, or ``"variance"``, 1 − normalised variance between this network and `members`; all
        before the CRF.
    confidence_network : ConfidenceNetwork, optional
        On `device`, in evaluation mode.
    also : sequence of str
        Kinds of confidence to map besides.
    members : sequence of Member
        On `device`, in evaluation mode. They do not change the labels.
    largest_component : bool
        Keep the largest connected component of each structure and frame.
    on_frame : callable, optional
        Called with each frame that is done.
    keep_probabilities : bool
        Also return the softmax, before the CRF.
    meter : Meter, optional
        Tells when the run's memory limit was passed.

    Raises
    ------
    LabellingStopped
        `should_stop` said yes before the last frame.
    """
    sureness = _sureness(confidence_network, preprocessing, spacing_zyx_mm, batch_size)
    grey = grey_levels(image, preprocessing) if crf else None
    labels = np.zeros(image.shape, np.uint8)
    maps = {kind: np.zeros(image.shape, np.uint8) for kind in (confidence_from, *also)}
    by_members = tuple(np.zeros(image.shape, np.uint8) for _ in members)
    changed = 0
    n_done = 0
    kept: list[NDArray[np.uint8]] = []
    how = {"frames": frames, "device": device, "batch_size": batch_size, "should_stop": should_stop, "meter": meter}
    others = [iter_frames(m.network, image, m.preprocessing, spacing_zyx_mm, **how) for m in members]
    for frame, probabilities in iter_frames(network, image, preprocessing, spacing_zyx_mm, **how):
        classes = probabilities.argmax(axis=1).astype(np.uint8)
        if crf is not None and grey is not None:
            refined = refine_frame(probabilities, grey[frame], crf, str(device))
            changed += int((refined != classes).sum())
            classes = refined
        if largest_component:
            classes = keep_largest_component(classes, scheme.n_classes)
        labels[frame] = scheme.from_classes(classes)
        votes = _votes_of_frame(others)
        for target, vote in zip(by_members, votes, strict=True):
            target[frame] = scheme.from_classes(vote.argmax(axis=1).astype(np.uint8))
        for kind, target in maps.items():
            sure = 1.0 - _variance(probabilities, votes) if kind == "variance" else sureness[kind](probabilities)
            target[frame] = to_uint8(sure)
        if keep_probabilities:
            kept.append(to_uint8(probabilities.swapaxes(0, 1)))
        n_done += 1
        if on_frame is not None:
            on_frame(frame)
    if n_done < len(frames):
        raise LabellingStopped("stopped on request between two cases")
    voxels = max(1, len(frames) * int(np.prod(image.shape[1:])))
    return Labelling(
        labels=labels,
        confidence=maps[confidence_from],
        changed=changed / voxels,
        probabilities=np.stack(kept) if keep_probabilities else None,
        further={kind: maps[kind] for kind in also},
        by_members=by_members,
    )


def _votes_of_frame(others: Sequence[Iterator[tuple[int, NDArray[np.float32]]]]) -> list[NDArray[np.float32]]:
    """The softmax of the next frame by each of the others; LabellingStopped where one was asked to stop."""
    frames = [next(other, None) for other in others]
    votes = [frame[1] for frame in frames if frame is not None]
    if len(votes) < len(frames):
        raise LabellingStopped("stopped on request between two models")
    return votes


def _variance(probabilities: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Variance between a frame's softmax and that of the others."""
    votes = MemberVotes()
    for each in (probabilities, *others):
        votes.add(each)
    return votes.variance()
