"""The MONAI scripts that a user would write, for the comparisons in `training.py` and `inference.py`.

They follow MONAI's own tutorials (github.com/Project-MONAI/tutorials), and only their network differs where another was
asked for:

- network, loop and validation: ``2d_segmentation/torch/unet_training_dict.py`` and ``unet_evaluation_dict.py``:
  float32, eager, memory as torch lays it out, an optimiser with torch's defaults, ``zero_grad``, ``loss.item()`` each
  step; prediction image by image under ``no_grad`` with ``sliding_window_inference`` (its default overlap of 0.25) in
  batches of 4 windows;
- data: ``CacheDataset`` of dictionaries (``3d_segmentation/spleen_segmentation_3d.ipynb``), so that nothing is read or
  normalised twice, random transforms sample by sample, ``DataLoader``;
- loss: ``DiceCELoss`` with ``to_onehot_y`` and ``softmax`` (``3d_segmentation/swin_unetr_btcv_segmentation_3d.ipynb``).

Windows have the size of the training crop (the tutorials' of 96² would take four times as many pixels at 210²), the
augmentation is the recipe ``strong`` in MONAI's transforms with the same probabilities and amounts, and `DataLoader`
has no workers by default: what they save in seconds they take in CPU time from two cores.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureTyped,
    Rand2DElasticd,
    RandAdjustContrastd,
    RandAffined,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
    ScaleIntensityRangePercentiles,
)

__all__ = ["predicting", "training"]

KEYS = ["image", "label"]
MODES = ("bilinear", "nearest")


def _network(name: str, n_classes: int) -> torch.nn.Module:
    if name != "res-unet":
        from napari_ssl.networks import build_network

        return build_network(name, n_classes=n_classes)
    return UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=n_classes,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm="batch",
    )


def _transforms() -> Compose:
    return Compose(
        [
            EnsureTyped(KEYS),
            RandAffined(
                KEYS, prob=1.0, rotate_range=0.7, scale_range=0.3, translate_range=20, mode=MODES, padding_mode="zeros"
            ),
            Rand2DElasticd(KEYS, spacing=(32, 32), magnitude_range=(0, 6), prob=0.3, mode=MODES, padding_mode="zeros"),
            RandScaleIntensityd("image", factors=0.2, prob=1.0),
            RandShiftIntensityd("image", offsets=0.1, prob=1.0),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5)),
            RandScaleIntensityFixedMeand("image", factors=0.25, prob=0.15),
            RandGaussianSmoothd("image", sigma_x=(0.5, 1.5), sigma_y=(0.5, 1.5), prob=0.15),
            RandSimulateLowResolutiond("image", prob=0.15, zoom_range=(0.5, 1.0), upsample_mode="bilinear"),
            RandGaussianNoised("image", prob=0.1, std=0.1),
        ]
    )


def training(options: Namespace, images: np.ndarray, classes: np.ndarray, n_classes: int) -> Callable[[], None]:
    """Return what takes ``options.steps`` optimiser steps on slices ``(N, Y, X)``."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.on)
    data = [{"image": i[None].astype(np.float32), "label": c[None]} for i, c in zip(images, classes, strict=True)]
    loader = DataLoader(
        CacheDataset(data, _transforms(), progress=False),
        batch_size=options.batch,
        shuffle=True,
        drop_last=True,
        num_workers=options.workers,
    )
    model = _network(options.network, n_classes).to(device)
    loss_function = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()

    def work() -> None:
        step = 0
        while step < options.steps:
            for batch in loader:
                inputs, labels = batch["image"].to(device), batch["label"].to(device)
                optimiser.zero_grad()
                outputs = model(inputs)
                if isinstance(outputs, tuple):
                    outputs = outputs[0]
                loss = loss_function(outputs, labels)
                loss.backward()
                optimiser.step()
                loss.item()
                step += 1
                if step == options.steps:
                    return

    return work


def predicting(options: Namespace, series: np.ndarray, n_classes: int) -> Callable[[], None]:
    """Return what predicts every frame of ``(T, Z, Y, X)``."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.on)
    model = _network(options.network, n_classes).to(device)
    model.eval()
    prepare = Compose([ScaleIntensityRangePercentiles(0.5, 99.5, 0.0, 1.0, clip=True)])

    def work() -> None:
        normalised = prepare(torch.from_numpy(series.astype(np.float32)))
        with torch.no_grad():
            for frame in normalised:
                logits = sliding_window_inference(frame[:, None].to(device), (224, 224), options.sw_batch_size, model)
                torch.softmax(logits, dim=1).cpu().numpy()

    return work
