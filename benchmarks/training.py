"""What training costs: augmentation, and the loop's share of a step, beside a plain MONAI script in the same run.

    python benchmarks/training.py [--network res-unet] [--steps 6] [--json]

The MONAI script (`plain_monai.py`) has the same network, batch, crop, number of steps and effects of augmentation.
Loop, bare step and script take turns, each in its own process. CPU seconds add up over threads, and other programs on
the machine disturb them less than wall seconds; both are given.
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
import plain_monai
import torch
from turns import in_turns, median

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.inference.allocation import keep_freed_memory
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
    """Milliseconds per slice of each recipe, with memory kept as in the process of a job."""
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    slices = store.batch(torch.arange(batch) % len(store)).to(device)

    def work(name: str) -> None:
        augment(slices.images, slices.classes, name=name, generator=generator)
        if device.type == "cuda":
            torch.cuda.synchronize()

    names = [name for name, recipe in RECIPES.items() if recipe is not None]
    for name in names * 5:
        work(name)  # until the process has its memory, as a job has after some steps
    return {n: per(timed(lambda n=n: work(n), 21), batch) for n in names}


def as_a_job(options: argparse.Namespace) -> SliceStore:
    """What the process of a job sets before it computes; the training set."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    return make_store(options.slices, options.size)


def bare_steps(options: argparse.Namespace) -> Callable[[], None]:
    """Forward, backward and update on one batch that never changes."""
    store, device = as_a_job(options), torch.device(options.on)
    module = place(build_network(options.network, n_classes=SCHEME.n_classes), device).train()
    parameters = SupervisedParameters(batch_size=options.batch)
    stepper = Stepper(module, parameters, Method(parameters), device, lambda message: None)
    slices = store.batch(torch.arange(options.batch) % len(store)).to(device)
    step = StepInfo(iteration=0, iterations=1000, generator=torch.Generator(), forward=stepper.forward)

    def work() -> None:
        for _ in range(options.steps):
            stepper.backward(slices, None, step).item()
            stepper.update(step)

    return work


def whole_loop(options: argparse.Namespace) -> Callable[[], None]:
    """Whole calls of the loop: sampling, strong augmentation, step, events, the final checkpoint."""
    store = as_a_job(options)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(
                build_network(options.network, n_classes=SCHEME.n_classes),
                store,
                parameters=SupervisedParameters(batch_size=options.batch),
                iterations=options.steps,
                validation=None,
                scheme=SCHEME,
                seed=0,
                device=torch.device(options.on),
                emit=lambda event: None,
                should_stop=lambda: False,
                checkpoint_folder=Path(folder),
                step_name="benchmark",
            )

    return work


def monai_steps(options: argparse.Namespace) -> Callable[[], None]:
    """The plain script on the same slices."""
    store = make_store(options.slices, options.size)
    return plain_monai.training(options, store.images.numpy(), store.classes.numpy(), SCHEME.n_classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="res-unet")
    parser.add_argument("--size", type=int, default=224, help="pixels of a slice's side")
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6, help="optimiser steps of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way of training")
    parser.add_argument("--workers", type=int, default=0, help="processes that load data for the MONAI script")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    device = choose_device(options.device)
    options.on, options.threads = device.type, configure_threads()
    parts = {"bare_step": bare_steps, "loop_step": whole_loop, "monai_step": monai_steps}
    turns = in_turns(parts, options, options.rounds)
    keep_freed_memory()
    report: dict[str, Any] = {
        **device_record(device),
        "network": options.network,
        "size": options.size,
        "batch": options.batch,
        "augmentation_per_slice": measure_augmentation(make_store(options.batch, options.size), options.batch, device),
        **{name: median(turns[name], options.steps) for name in parts},
    }
    for key in ("cpu", "wall"):
        bare, loop, plain = ([t[f"{key}_s"] for t in turns[name]] for name in parts)
        report[f"loop_overhead_percent_{key}"] = 100 * float(np.median(np.divide(loop, bare)) - 1)
        report[f"times_faster_than_monai_{key}"] = float(np.median(np.divide(plain, loop)))
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['device_name']}, {report['threads']} threads, {options.network}, batch {options.batch}")
    for name, times in report["augmentation_per_slice"].items():
        print(f"augmentation {name:14s} {times['cpu_ms']:7.2f} CPU ms a slice, wall {times['wall_ms']:.2f}")
    for name, key in (("network alone", "bare_step"), ("napari-ssl loop", "loop_step"), ("plain MONAI", "monai_step")):
        print(f"{name:20s} {report[key]['cpu_ms']:8.0f} CPU ms a step, wall {report[key]['wall_ms']:.0f}")
    for key in ("cpu", "wall"):
        print(
            f"by {key} time: data and bookkeeping add {report[f'loop_overhead_percent_{key}']:.1f} % to the network's "
            f"step; {report[f'times_faster_than_monai_{key}']:.2f} times as fast as plain MONAI"
        )


if __name__ == "__main__":
    main()
