"""Which frames and which structure drive a score: integrated gradients, and occlusion.

Both say how much each value moves the logit of *erroneous*: positive speaks for an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.quality import CURVE_ROLES
from napari_ssl.qc.inputs import N_PER_STRUCTURE, back_to_frames, curve_array, normalise, prepare, resampling_matrix
from napari_ssl.qc.store import Classifier

__all__ = ["Explanation", "integrated_gradients", "occlusion"]

_STEPS = (32, 128, 512, 1024)
_GAP = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """Attribution to frames and structures.

    Parameters
    ----------
    attribution : dict of structure name to (T,) float64
        Over the frames of the acquisition.
    logit : float
        Logit of erroneous, before calibration.
    baseline_logit : float
        The same of what the curves are compared with.
    """

    attribution: dict[str, NDArray[np.float64]]
    logit: float
    baseline_logit: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, rounded to what a plot shows."""
        return {
            "attribution": {name: np.round(values, 4).tolist() for name, values in self.attribution.items()},
            "logit": round(self.logit, 4),
            "baseline_logit": round(self.baseline_logit, 4),
        }


def _names(classifier: Classifier, scheme: LabelScheme) -> list[str | None]:
    return [getattr(scheme.by_role(role), "name", None) for role in CURVE_ROLES[classifier.kind]]


def integrated_gradients(
    classifier: Classifier, curves: Mapping[str, Any], scheme: LabelScheme | None = None
) -> Explanation:
    """Attribute a score by integrated gradients (Sundararajan et al., ICML 2017, Eq. 1).

    The path goes straight from the mean of the good training curves to these curves, in the space of the prepared
    inputs; a structure's ratio, jump and flag are added up and brought back to the frames. Completeness: the
    attributions sum to the difference of the two logits; the path is divided more finely until they do to 2 %, or into
    1,024 steps.

    Raises
    ------
    SpecError
        The curves lack what the classifier reads.
    """
    names = scheme or classifier.label_scheme
    volumes = curve_array(curves, names, classifier.kind)
    _, first = normalise(volumes[None])
    parameters = classifier.parameters
    inputs, _ = prepare([volumes], length=parameters.length, n_points=parameters.n_points)
    end = torch.from_numpy(inputs)
    baseline = classifier.network.baseline.detach().cpu()
    if parameters.length == "mask":
        matrix = torch.from_numpy(resampling_matrix(len(baseline), end.shape[1]))
        baseline = matrix @ baseline
    begin = baseline[None]
    network = classifier.network
    with torch.inference_mode():
        logit, baseline_logit = -float(network(end)[0]), -float(network(begin)[0])
    for steps in _STEPS:
        attribution = _path_integral(network, begin, end, steps)
        gap = abs(float(attribution.sum()) - (logit - baseline_logit))
        if gap <= _GAP * max(1.0, abs(logit - baseline_logit)):
            break
    frames = back_to_frames(attribution, volumes.shape[1], int(first[0]), length=parameters.length)
    return Explanation(
        attribution=_by_structure(frames, _names(classifier, names)), logit=logit, baseline_logit=baseline_logit
    )


def _path_integral(network: Any, begin: Tensor, end: Tensor, steps: int) -> NDArray[np.float64]:
    """Integrate the gradient of the logit of erroneous from `begin` to `end` (1, L, C) at Gauss-Legendre nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares = torch.from_numpy((nodes + 1) / 2).float()
    path = (begin + shares[:, None, None] * (end - begin)).requires_grad_(True)
    (gradient,) = torch.autograd.grad((-network(path)).sum(), path)
    mean = (gradient.double() * torch.from_numpy(weights / 2)[:, None, None]).sum(dim=0)
    return (mean * (end - begin)[0].double()).numpy()


def _by_structure(frames: NDArray[np.float64], names: list[str | None]) -> dict[str, NDArray[np.float64]]:
    """Add up the channels of each structure; what an absent structure's flags say goes to the first one there is."""
    per_role = frames.reshape(len(frames), N_PER_STRUCTURE, len(names)).sum(axis=1)
    present = [n for n, name in enumerate(names) if name is not None]
    result = {str(names[n]): per_role[:, n].copy() for n in present}
    for n, name in enumerate(names):
        if name is None:
            result[str(names[present[0]])] += per_role[:, n]
    return result


def occlusion(
    classifier: Classifier, curves: Mapping[str, Any], scheme: LabelScheme | None = None, *, window: int = 1
) -> Explanation:
    """Attribute a score by what it loses when frames of one structure are bridged by a straight line.

    For every frame and structure, `window` frames around it are replaced by the line between their neighbours on either
    side, the last frame being followed by the first (Zeiler & Fergus, ECCV 2014, Sec. 4.2, on curves).

    Raises
    ------
    SpecError
        The curves lack what the classifier reads.
    """
    names = scheme or classifier.label_scheme
    volumes = curve_array(curves, names, classifier.kind)
    n_structures, n_frames = volumes.shape
    known = [k for k in range(n_structures) if np.isfinite(volumes[k]).any()]
    sets = [volumes]
    for k in known:
        for frame in range(n_frames):
            bridged = volumes.copy()
            hidden = (frame + np.arange(-(window // 2), window - window // 2)) % n_frames
            bridged[k, hidden] = np.nan
            seen = np.flatnonzero(np.isfinite(bridged[k]))
            if len(seen):
                bridged[k, hidden] = np.interp(hidden, seen, bridged[k, seen], period=n_frames)
            bridged[k, ~np.isfinite(volumes[k])] = np.nan  # frames without labels stay so
            sets.append(bridged)
    logits = -_logits(classifier, sets)
    gains = (logits[0] - logits[1:]).reshape(len(known), n_frames)
    found = _names(classifier, names)
    return Explanation(
        attribution={str(found[k]): gains[i] for i, k in enumerate(known)},
        logit=float(logits[0]),
        baseline_logit=float(-_of_baseline(classifier)),
    )


def _logits(classifier: Classifier, sets: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    parameters = classifier.parameters
    inputs, lengths = prepare(sets, length=parameters.length, n_points=parameters.n_points)
    with torch.inference_mode():
        sizes: Tensor | None = None if parameters.length == "resample" else torch.from_numpy(lengths)
        return classifier.network(torch.from_numpy(inputs), sizes).double().numpy()


def _of_baseline(classifier: Classifier) -> float:
    with torch.inference_mode():
        return float(classifier.network(classifier.network.baseline[None])[0])
