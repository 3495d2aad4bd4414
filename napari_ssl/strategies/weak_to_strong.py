"""Weak-to-strong consistency with CutMix and feature perturbation.

L. Yang, L. Qi, L. Feng, W. Zhang, Y. Shi: Revisiting weak-to-strong consistency in semi-supervised semantic
segmentation. CVPR 2023 (UniMatch).

Algorithm (Sec. 3)::

    x_w            unlabelled image after the weak augmentation;  p_w = softmax F(x_w),  c = max p_w,  ŷ = arg max p_w
    x_s1, x_s2     the same image, intensities strongly distorted, each with a CutMix box of another unlabelled image;
                   ŷ and c are cut and mixed alike
    p_fp           softmax of the decoder on features of x_w whose channels were dropped with probability ½

    L_x = ½ (cross-entropy + Dice) of the labelled images
    L_u = ¼ D(p_s1, ŷ_1; c_1 ≥ τ) + ¼ D(p_s2, ŷ_2; c_2 ≥ τ) + ½ D(p_fp, ŷ; c ≥ τ)
    Θ ← minimise ½ (L_x + w · L_u)

    D(p, ŷ; m) is the Dice loss over the pixels of the mask m; ŷ, c and m carry no gradient. No pixel above τ gives 0.

Defaults
    τ = 0.95, CutMix with probability ½ and a box of 2 to 40 % of the image with sides in ratio 0.3 to 3.3, dropout ½,
    L_x as the mean of cross-entropy and Dice beside L_u of weight 1, the weights ¼, ¼, ½ and ½, Dice for the unlabelled
    images: the authors' program for ACDC (``more-scenarios/medical/unimatch.py``). Strong view: brightness
    and contrast within ± 50 % with probability 0.8, between a slice's darkest and brightest grey; blur with SD 0.1 to
    2 pixels with probability ½.

Departures
    The residual U-Net and AdamW by default (``--preset paper``: SGD 0.01, poly); anatomy is never mirrored or turned
    by 90°; the weak augmentation is the recipe ``paper`` (translation, rotation, scaling, a little intensity). Pseudo-
    labels are made in evaluation mode. CutMix takes its boxes from the next image of the
    same batch instead of a second loader. Hue and saturation do not exist in grey images. With w = 0 no unlabelled
    image is drawn, and the training is the supervised one with a quarter of its loss. With the loss ``cross-entropy``,
    the paper's for photographs, L_x is that alone, not halved. `warm_up` is ours.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssl.core.catalogue.weak_to_strong import WeakToStrongParameters
from napari_ssl.errors import SpecError
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.padding import run_padded
from napari_ssl.strategies.lab import Lab, Theta
from napari_ssl.training.dataset import Batch
from napari_ssl.training.losses import masked_dice
from napari_ssl.training.method import Method, StepInfo, main_output

__all__ = ["WeakToStrong", "WeakToStrongMethod", "colour_jitter", "consistency", "cutmix_boxes", "strong_view"]

_COLOUR_P, _COLOUR = 0.8, 0.5
_BLUR_P, _BLUR_SD = 0.5, (0.1, 2.0)
_BOX_AREA, _BOX_RATIO = (0.02, 0.4), (0.3, 1 / 0.3)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def colour_jitter(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiply brightness and contrast of ``(B, C, …)`` by a factor ``(B,)`` each, as Pillow's ``ImageEnhance`` does.

    The darkest grey of a sample counts as black and its brightest as white, where values are cut off after either:
    normalised images have their 0 in the middle, and a factor would leave their brightness as it is.
    """
    flat = images.flatten(1)
    dark = flat.amin(dim=1, keepdim=True)
    span = (flat.amax(dim=1, keepdim=True) - dark).clamp_min(torch.finfo(flat.dtype).tiny)
    grey = ((flat - dark) / span * brightness[:, None]).clamp(0, 1)
    mean = grey.mean(dim=1, keepdim=True)
    grey = ((grey - mean) * contrast[:, None] + mean).clamp(0, 1)
    return (grey * span + dark).reshape(images.shape)


def strong_view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Distort the intensities of ``(B, C, …)``, each sample by its own draw: brightness, contrast, blur."""
    n = len(images)
    draws = [_uniform(n, 1 - _COLOUR, 1 + _COLOUR, generator) for _ in range(2)]
    coloured = torch.rand(n, generator=generator) < _COLOUR_P
    images = colour_jitter(images, *(torch.where(coloured, d, 1.0).to(images) for d in draws))
    sd = _uniform(n, *_BLUR_SD, generator).tolist()
    blurred = (torch.rand(n, generator=generator) < _BLUR_P).tolist()
    return torch.stack([_blur(image, s) if b else image for image, s, b in zip(images, sd, blurred, strict=True)])


def _blur(image: Tensor, sd: float) -> Tensor:
    """In-plane Gaussian blur of ``(C, [Z,] Y, X)``, edges repeated."""
    radius = max(1, math.ceil(3 * sd))
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sd) ** 2)
    kernel = kernel / kernel.sum()
    planes = image.reshape(-1, 1, *image.shape[-2:])
    padded = functional.pad(planes, (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel[None, None, None, :])
    return functional.conv2d(rows, kernel[None, None, :, None]).reshape(image.shape)


def cutmix_boxes(n: int, size: tuple[int, ...], probability: float, generator: torch.Generator) -> Tensor:
    """Boolean ``(n, *size)``, True in one box of every sample that is to be mixed; boxes run through all of Z."""
    boxes = torch.zeros((n, *size), dtype=torch.bool)
    height, width = size[-2:]
    for i in range(n):
        if float(torch.rand(1, generator=generator)) >= probability:
            continue
        while True:
            area = float(_uniform(1, *_BOX_AREA, generator)) * height * width
            ratio = float(_uniform(1, *_BOX_RATIO, generator))
            w, h = int(math.sqrt(area / ratio)), int(math.sqrt(area * ratio))
            y, x = (int(torch.randint(0, s, (1,), generator=generator)) for s in (height, width))
            if 0 < h <= height - y and 0 < w <= width - x:
                boxes[i, ..., y : y + h, x : x + w] = True
                break
    return boxes


def consistency(logits: Tensor, classes: Tensor, confidence: Tensor, threshold: float) -> Tensor:
    """D(p, ŷ; c ≥ τ) with p = softmax of `logits` ``(B, K, …)``; finite 0 without any confident pixel."""
    return masked_dice(logits.softmax(dim=1), classes, (confidence >= threshold).float())


class WeakToStrongMethod(Method):
    """One step of UniMatch.

    Parameters
    ----------
    parameters : WeakToStrongParameters
    """

    def __init__(self, parameters: WeakToStrongParameters) -> None:
        super().__init__(parameters)
        self.p = parameters
        self.labelled_weight = 0.5 if parameters.loss == "dice-cross-entropy" else 1.0
        self.n_unlabelled = parameters.unlabelled_batch if parameters.unlabelled_weight > 0 else 0

    def identity(self) -> dict[str, Any]:
        """Add what decides the views and the loss."""
        p = self.p
        values = [p.unlabelled_batch, p.unlabelled_weight, p.threshold, p.cutmix, p.feature_dropout, p.warm_up]
        return {**super().identity(), "values": values, "labelled_weight": self.labelled_weight}

    def augment(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> tuple[Batch, Batch | None]:
        """The recipe of the parameters for labelled images, the weak one for unlabelled images."""
        weak = None if unlabelled is None else self.augmented(unlabelled, step, "paper")
        return self.augmented(labelled, step), weak

    def attach(self, network: nn.Module, **setting: Any) -> None:
        """Refuse networks whose features cannot be reached."""
        del setting
        if self.n_unlabelled and not isinstance(network, EncoderDecoder):
            raise SpecError(
                f"weak-to-strong drops channels between encoder and decoder, and {type(network).__name__} has none to "
                "reach; choose another network, such as res-unet"
            )

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """½ (L_x + w · L_u)."""
        supervised = self.labelled_weight * self.supervised(step.forward(network, labelled.images), labelled)
        if unlabelled is None or not len(unlabelled.weights):
            return 0.5 * supervised
        weight = self.p.unlabelled_weight * min(1.0, (step.iteration + 1) / max(1, self.p.warm_up))
        consistent = self.unlabelled_loss(network, unlabelled.images, step)
        self.note("labelled", supervised)
        self.note("unlabelled", consistent)
        return 0.5 * (supervised + weight * consistent)

    def unlabelled_loss(self, network: nn.Module, weak: Tensor, step: StepInfo) -> Tensor:
        """L_u of weakly augmented images ``(B, C, …)``."""
        p, n = self.p, len(weak)
        with torch.no_grad():
            network.eval()
            confidence, classes = main_output(step.forward(network, weak)).softmax(dim=1).max(dim=1)
            network.train()
            classes = classes.to(torch.uint8)
        self.note("confident share", (confidence >= p.threshold).float().mean())
        views, targets = [], []
        partner = torch.roll(torch.arange(n), 1).to(weak.device)
        for _ in range(2):
            strong = strong_view(weak, step.generator)
            boxes = cutmix_boxes(n, tuple(weak.shape[2:]), p.cutmix, step.generator).to(weak.device)
            views.append(torch.where(boxes[:, None], strong[partner], strong))
            targets.append(tuple(torch.where(boxes, t[partner], t) for t in (classes, confidence)))
        first, second = main_output(step.forward(network, torch.cat(views))).split(n)
        perturbed = main_output(step.forward(self._with_dropped_features(network), weak))
        return (
            0.25 * consistency(first, *targets[0], p.threshold)
            + 0.25 * consistency(second, *targets[1], p.threshold)
            + 0.5 * consistency(perturbed, classes, confidence, p.threshold)
        )

    def _with_dropped_features(self, network: EncoderDecoder) -> Any:
        """The network with whole channels of every level's features dropped."""
        drop = functional.dropout3d if self.is_3d(network) else functional.dropout2d

        def perturbed(images: Tensor) -> Any:
            return network.decode([drop(f, self.p.feature_dropout) for f in network.encode(images)])

        return lambda images: run_padded(perturbed, images, network.multiple, at_least=network.at_least)

    @staticmethod
    def is_3d(network: nn.Module) -> bool:
        """Whether the network convolves volumes."""
        return any(parameter.ndim == 5 for parameter in network.parameters())


class WeakToStrong:
    """Yang 2023 over the durable steps of the lab."""

    def __init__(self, parameters: WeakToStrongParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Train on labelled and unlabelled images together."""
        p = self.parameters
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        lab.plan(lab.iterations(lab.labelled, p.duration, p.batch_size))
        start = lab.begin_with_start(p.warm_start)
        if not len(unlabelled):
            lab.notice("no unlabelled case: training on the labelled ones alone")
            p = dataclasses.replace(p, unlabelled_weight=0.0)
        method = WeakToStrongMethod(p)
        return lab.fit(
            lab.labelled,
            duration=p.duration,
            parameters=p,
            step="weak-to-strong training",
            start=start,
            unlabelled=unlabelled if method.n_unlabelled else None,
            method=method,
        )
