"""What training costs: augmentation, and the loop's share of a step, beside a plain MONAI pipeline in the same run.

The MONAI pipeline is the usual script, with the same network, batch and loss: cached data, RandAffined and the other
random transforms slice by slice, DataLoader. Loop and pipeline take turns, so that both meet the same machine.

    python benchmarks/training.py [--network res-unet] [--steps 6] [--json]

Times are CPU seconds of one process (add up over threads), which other programs on the machine disturb little; wall
seconds stand beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceCELoss
from monai.transforms import Compose, RandAdjustContrastd, RandAffined, RandGaussianNoised, RandScaleIntensityd

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.networks import build_network
from napari_ssl.training.augment import RECIPES, augment
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.device import choose_device, configure_threads, device_record
from napari_ssl.training.loop import fit
from napari_ssl.training.method import Method, StepInfo
from napari_ssl.training.stepper import Stepper, place

SCHEME = PRESETS["acdc"]


def make_store(n_slices: int, size: int) -> SliceStore:
    """Smooth random slices with rings as labels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    radius = np.hypot(y - size / 2, x - size / 2)
    classes = np.digitize(-radius, [-size / 4, -size / 6, -size / 10]).astype(np.uint8)
    store = SliceStore(Preprocessing(crop_yx=(size, size)), SCHEME.n_classes)
    for n in range(n_slices):
        image = np.clip(classes / 4 + 0.1 * rng.normal(size=classes.shape), 0, 1).astype(np.float32)
        store.add(f"case{n}", image[None, None], classes[None, None])
    return store


def timed(work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median CPU and wall milliseconds of `work` after one run to warm up."""
    work()
    cpu, wall = [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return {"cpu_ms": 1000 * float(np.median(cpu)), "wall_ms": 1000 * float(np.median(wall))}


def per(times: dict[str, float], n: int) -> dict[str, float]:
    return {name: value / n for name, value in times.items()}


def measure_augmentation(store: SliceStore, batch: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds per slice of each recipe."""
    generator = torch.Generator().manual_seed(0)
    slices = store.batch(torch.arange(batch) % len(store)).to(device)

    def work(name: str) -> None:
        augment(slices.images, slices.classes, name=name, generator=generator)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return {n: per(timed(lambda n=n: work(n), 11), batch) for n, recipe in RECIPES.items() if recipe is not None}


def measure_bare_step(
    store: SliceStore, network: str, batch: int, steps: int, device: torch.device
) -> dict[str, float]:
    """Forward, backward and update on one batch that never changes."""
    module = place(build_network(network, n_classes=SCHEME.n_classes), device).train()
    parameters = SupervisedParameters(batch_size=batch)
    stepper = Stepper(module, parameters, Method(parameters), device, lambda message: None)
    slices = store.batch(torch.arange(batch) % len(store)).to(device)
    step = StepInfo(iteration=0, iterations=1000, generator=torch.Generator(), forward=stepper.forward)

    def work() -> None:
        stepper.backward(slices, None, step).item()
        stepper.update(step)

    return timed(work, steps)


def measure_fit(store: SliceStore, network: str, batch: int, steps: int, device: torch.device) -> dict[str, float]:
    """Whole calls of the loop: sampling, strong augmentation, step, events, the final checkpoint."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(
                build_network(network, n_classes=SCHEME.n_classes),
                store,
                parameters=SupervisedParameters(batch_size=batch),
                iterations=steps,
                validation=None,
                scheme=SCHEME,
                seed=0,
                device=device,
                emit=lambda event: None,
                should_stop=lambda: False,
                checkpoint_folder=Path(folder),
                step_name="benchmark",
            )

    return per(timed(work, 1), steps)


def measure_monai(store: SliceStore, network: str, batch: int, steps: int, device: torch.device) -> dict[str, float]:
    """The usual MONAI training script: cached data, random transforms slice by slice, Dice + cross-entropy."""
    module = build_network(network, n_classes=SCHEME.n_classes).to(device).train()
    keys = ["image", "label"]
    transform = Compose(
        [
            RandAffined(
                keys, prob=1.0, rotate_range=0.35, scale_range=0.15, translate_range=10, mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandScaleIntensityd("image", factors=0.1, prob=1.0),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5)),
            RandGaussianNoised("image", prob=0.1, std=0.1),
        ]
    )  # fmt: skip
    data = [
        {"image": i[None].float(), "label": c[None].float()} for i, c in zip(store.images, store.classes, strict=True)
    ]
    loader = DataLoader(CacheDataset(data, transform, progress=False), batch_size=batch, shuffle=True, drop_last=True)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    batches = iter(loader)

    def work() -> None:
        nonlocal batches
        item = next(batches, None)
        if item is None:
            batches = iter(loader)
            item = next(batches)
        optimiser.zero_grad()
        value = loss(module(item["image"].to(device)), item["label"].to(device))
        value.backward()
        optimiser.step()
        value.item()

    return timed(work, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="res-unet")
    parser.add_argument("--size", type=int, default=224, help="pixels of a slice's side")
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3, help="each way of training is timed so often, in turn")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    configure_threads()
    torch.manual_seed(0)
    store = make_store(arguments.slices, arguments.size)
    common = (store, arguments.network, arguments.batch, arguments.steps, device)
    works = {"bare": measure_bare_step, "loop": measure_fit, "monai": measure_monai}
    rounds = [{name: work(*common) for name, work in works.items()} for _ in range(arguments.rounds)]
    bare, loop, plain = (
        {key: float(np.median([r[name][key] for r in rounds])) for key in ("cpu_ms", "wall_ms")} for name in works
    )
    report = {
        **device_record(device),
        "network": arguments.network,
        "size": arguments.size,
        "batch": arguments.batch,
        "augmentation_per_slice": measure_augmentation(store, arguments.batch, device),
        "bare_step": bare,
        "loop_step": loop,
        "monai_step": plain,
        "loop_overhead_percent": 100
        * float(np.median([r["loop"]["cpu_ms"] / r["bare"]["cpu_ms"] for r in rounds]) - 1),
        "times_faster_than_monai": float(np.median([r["monai"]["cpu_ms"] / r["loop"]["cpu_ms"] for r in rounds])),
        "monai_overhead_percent": 100 * (plain["cpu_ms"] / bare["cpu_ms"] - 1),
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['device_name']}, {report['threads']} threads, {arguments.network}, batch {arguments.batch}")
    for name, times in report["augmentation_per_slice"].items():
        print(f"augmentation {name:14s} {times['cpu_ms']:7.2f} ms a slice")
    for name, key in (("network alone", "bare_step"), ("napari-ssl loop", "loop_step"), ("plain MONAI", "monai_step")):
        print(f"{name:20s} {report[key]['cpu_ms']:8.0f} ms a step (wall {report[key]['wall_ms']:.0f})")
    print(f"data and bookkeeping add {report['loop_overhead_percent']:.1f} % to the network's step")
    print(f"{report['times_faster_than_monai']:.2f} times as fast as plain MONAI")


if __name__ == "__main__":
    main()
