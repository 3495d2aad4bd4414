"""``python -m napari_ssl.phantom OUT`` writes the sample study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_ssl.phantom.cohort import SAMPLE_SEED, write_sample_study_files


def main() -> int:
    """Write the cohort to the folder given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_ssl.phantom", description="Write the sample study.")
    parser.add_argument("out", type=Path, help="folder to write; created when absent")
    parser.add_argument("--seed", type=int, default=SAMPLE_SEED, help="seed of the cohort (default %(default)s)")
    arguments = parser.parse_args()
    files = write_sample_study_files(
        arguments.out, seed=arguments.seed, progress=lambda name: sys.stderr.write(f"{name}\n")
    )
    size = sum(file.stat().st_size for file in files)
    sys.stderr.write(f"{len(files)} files, {size / 1e6:.1f} MB in {arguments.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
