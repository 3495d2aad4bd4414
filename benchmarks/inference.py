"""What prediction costs: frames of a cine through `iter_frames`, beside the network alone and a plain MONAI loop.

    python benchmarks/inference.py [--network res-unet] [--frames 6] [--json]

CPU seconds of one process, wall seconds beside them. The three are measured in turn, several times.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, EnsureType, ScaleIntensityRangePercentiles

from napari_ssl.core.training import Preprocessing
from napari_ssl.inference.predict import iter_frames
from napari_ssl.networks import build_network
from napari_ssl.training.device import choose_device, configure_threads, device_record

SPACING = (10.0, 1.5, 1.5)


def bare(network: torch.nn.Module, image: np.ndarray, batch: int, device: torch.device) -> None:
    """The network on batches that are ready: what no program around it can be faster than."""
    n = image.shape[0] * image.shape[1]
    ready = torch.rand(batch, 1, *image.shape[2:], device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=device.type == "cuda"):
        for start in range(0, n, batch):
            network(ready[: min(batch, n - start)])
        if device.type == "cuda":
            torch.cuda.synchronize()


def ours(network: torch.nn.Module, image: np.ndarray, batch: int, device: torch.device) -> None:
    for _ in iter_frames(network, image, Preprocessing(), SPACING, device=device, batch_size=batch):
        pass


def plain_monai(network: torch.nn.Module, image: np.ndarray, batch: int, device: torch.device) -> None:
    """The usual script: percentiles, sliding windows of 224 over each frame's slices, softmax."""
    prepare = Compose([EnsureType(dtype=torch.float32), ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True)])
    inferer = SlidingWindowInferer((224, 224), sw_batch_size=batch, overlap=0.25)
    with torch.inference_mode():
        normalised = prepare(image)
        for frame in normalised:
            inferer(frame[:, None].to(device), network).softmax(dim=1).cpu().numpy()


def measure(runs: dict[str, Callable[[], None]], repeats: int, n_slices: int) -> dict[str, Any]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for work in runs.values():
        work()
    for _ in range(repeats):
        for name, work in runs.items():
            start = time.process_time(), time.perf_counter()
            work()
            times[name].append((time.process_time() - start[0], time.perf_counter() - start[1]))
    medians = {name: np.median(values, axis=0) * 1000 / n_slices for name, values in times.items()}
    return {name: {"cpu_ms_per_slice": float(m[0]), "wall_ms_per_slice": float(m[1])} for name, m in medians.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="res-unet")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--size", type=int, default=210, help="pixels of a slice's side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    configure_threads()
    torch.manual_seed(0)
    network = build_network(arguments.network, n_classes=4).to(device, memory_format=torch.channels_last).eval()
    shape = (arguments.frames, arguments.slices, arguments.size, arguments.size)
    image = np.random.default_rng(0).integers(0, 1500, shape).astype(np.uint16)
    runs = {
        name: (lambda work=work: work(network, image, arguments.batch, device))
        for name, work in (("network_alone", bare), ("napari_ssl", ours), ("plain_monai", plain_monai))
    }
    report: dict[str, Any] = {**device_record(device), "network": arguments.network, "shape_tzyx": shape}
    report.update(measure(runs, arguments.repeats, shape[0] * shape[1]))
    alone = report["network_alone"]["cpu_ms_per_slice"]
    report["times_faster_than_monai"] = (
        report["plain_monai"]["cpu_ms_per_slice"] / report["napari_ssl"]["cpu_ms_per_slice"]
    )
    report["share_of_bare_throughput"] = alone / report["napari_ssl"]["cpu_ms_per_slice"]
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['device_name']}, {report['threads']} threads, {arguments.network}, cine {shape}")
    for name in runs:
        print(f"{name:15s} {report[name]['cpu_ms_per_slice']:7.2f} ms a slice")
    print(f"napari-ssl reaches {100 * report['share_of_bare_throughput']:.1f} % of the network's own throughput")
    print(f"{report['times_faster_than_monai']:.2f} times as fast as plain MONAI")


if __name__ == "__main__":
    main()
