"""What prediction costs: frames of a cine through `iter_frames`, beside the network alone and a plain MONAI script.

    python benchmarks/inference.py [--network res-unet] [--frames 6] [--json]

The three take turns, each in its own process; the MONAI script is in `plain_monai.py`. CPU seconds add up over threads,
and other programs on the machine disturb them less than wall seconds; both are given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import plain_monai
import torch
from turns import in_turns, median

from napari_ssl.core.training import Preprocessing
from napari_ssl.inference.allocation import keep_freed_memory
from napari_ssl.inference.predict import iter_frames
from napari_ssl.networks import build_network
from napari_ssl.training.device import choose_device, configure_threads, device_record

SPACING = (10.0, 1.5, 1.5)
N_CLASSES = 4


def series(options: argparse.Namespace) -> np.ndarray:
    """Noise of the size of a cine, as scanners store it."""
    shape = (options.frames, options.slices, options.size, options.size)
    return np.random.default_rng(0).integers(0, 1500, shape).astype(np.uint16)


def as_a_job(options: argparse.Namespace) -> torch.nn.Module:
    """What the process of a job sets before it computes; the network."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    return build_network(options.network, n_classes=N_CLASSES).to(options.on).eval()


def bare(options: argparse.Namespace) -> Callable[[], None]:
    """The network on batches that are ready: what no program around it can be faster than."""
    network, on, batch = as_a_job(options), options.on, options.batch
    network = network.to(memory_format=torch.channels_last)
    ready = torch.rand(batch, 1, options.size, options.size, device=on).contiguous(memory_format=torch.channels_last)
    n = options.frames * options.slices

    def work() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=on == "cuda"):
            for start in range(0, n, batch):
                network(ready[: min(batch, n - start)])
            if on == "cuda":
                torch.cuda.synchronize()

    return work


def ours(options: argparse.Namespace) -> Callable[[], None]:
    """Intensities, batches over frames, network, softmax, as a prediction job does it."""
    network, image = as_a_job(options), series(options)

    def work() -> None:
        for _ in iter_frames(network, image, Preprocessing(), SPACING, device=options.on, batch_size=options.batch):
            pass

    return work


def monai(options: argparse.Namespace) -> Callable[[], None]:
    """The plain script on the same cine."""
    return plain_monai.predicting(options, series(options), N_CLASSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="res-unet")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--size", type=int, default=210, help="pixels of a slice's side")
    parser.add_argument("--batch", type=int, default=20, help="slices at once, as in a prediction job")
    parser.add_argument("--sw-batch-size", type=int, default=4, help="windows at once of the MONAI script")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    device = choose_device(options.device)
    options.on, options.threads = device.type, configure_threads()
    parts = {"network_alone": bare, "napari_ssl": ours, "plain_monai": monai}
    turns = in_turns(parts, options, options.rounds)
    n = options.frames * options.slices
    report: dict[str, Any] = {
        **device_record(device),
        "network": options.network,
        "shape_tzyx": series(options).shape,
        **{name: median(turns[name], n) for name in parts},
    }
    for key in ("cpu", "wall"):
        alone, own, plain = ([t[f"{key}_s"] for t in turns[name]] for name in parts)
        report[f"share_of_bare_throughput_{key}"] = float(np.median(np.divide(alone, own)))
        report[f"times_faster_than_monai_{key}"] = float(np.median(np.divide(plain, own)))
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['device_name']}, {report['threads']} threads, {options.network}, cine {report['shape_tzyx']}")
    for name in parts:
        print(f"{name:15s} {report[name]['cpu_ms']:7.2f} CPU ms a slice, wall {report[name]['wall_ms']:.2f}")
    for key in ("cpu", "wall"):
        print(
            f"by {key} time: {100 * report[f'share_of_bare_throughput_{key}']:.1f} % of the network's own throughput, "
            f"{report[f'times_faster_than_monai_{key}']:.2f} times as fast as plain MONAI"
        )


if __name__ == "__main__":
    main()
