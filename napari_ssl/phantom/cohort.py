"""The sample study: phantom subjects in the file layout of ACDC, some labelled in two frames, most not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from napari_ssl.core.case import Split
from napari_ssl.phantom.heart import HeartKind, random_heart
from napari_ssl.phantom.render import PhantomCase, render

__all__ = [
    "SAMPLE_SEED",
    "SAMPLE_SIZE",
    "CohortMember",
    "make_sample_cohort",
    "make_sample_member",
    "write_sample_study_files",
]

SAMPLE_SEED = 2019
"""Seed of the cohort in ``sample_data/``."""

_N_FRAMES, _MATRIX_YX, _SPACING_ZYX_MM = 20, (80, 80), (10.0, 2.3, 2.3)
_N, _D, _H, _I = HeartKind.NORMAL, HeartKind.DILATED, HeartKind.HYPERTROPHIC, HeartKind.INFARCTED
_PLAN: tuple[tuple[Split, bool, tuple[HeartKind, ...]], ...] = (
    (Split.TRAIN, True, (_N, _D, _H, _I, _N)),
    (Split.VALIDATION, True, (_N, _D, _H)),
    (Split.TEST, True, (_N, _D, _H, _I, _N, _I)),
    (Split.TRAIN, False, (_N, _D, _H, _I, _N, _D, _H, _I, _N, _D, _H, _I)),
)
_ROLES = tuple((split, labelled, kind) for split, labelled, kinds in _PLAN for kind in kinds)
SAMPLE_SIZE = len(_ROLES)
_GROUPS = {_N: "NOR", _D: "DCM", _H: "HCM", _I: "MINF"}
_SPLIT_WORDS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}

# A short-axis view: columns run to the left and back, rows downwards, slices to the apex. Columns of the matrix are the
# directions of x, y and z in patient coordinates (LPS).
_X = np.array([0.62, 0.72, -0.31])
_Y = np.array([0.46, -0.014, 0.89])
_ORIGIN_XYZ_MM = (-92.0, -118.0, 64.0)

_README = """# Sample study

An analytic phantom of the beating heart ({n} subjects), made by `python -m napari_ssl.phantom OUT`. No patient's data.
Layout of ACDC: `cases.csv` (frames count from 1), `sampleNNN/sampleNNN_4d.nii.gz` and, of labelled subjects, expert
labels of end-diastole and end-systole (1 RV cavity, 2 myocardium, 3 LV cavity with its papillary muscles).
`truth/` is for programs that stand in for the clinician and for tests: labels of all frames of the unlabelled
subjects, and the closed-form volumes of every subject in `truth.json`. It is not part of the study.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CohortMember:
    """One phantom subject; `labelled_frames` (0-based) is empty for an unlabelled one."""

    subject_id: str
    split: Split
    kind: HeartKind
    labelled_frames: tuple[int, ...]
    case: PhantomCase


def make_sample_member(index: int, *, seed: int = SAMPLE_SEED) -> CohortMember:
    """Make one subject of the cohort, `index` from 0; it does not depend on the others."""
    split, labelled, kind = _ROLES[index]
    rng = np.random.default_rng([seed, index])
    heart = random_heart(rng, kind)
    case = render(
        heart,
        n_frames=_N_FRAMES,
        n_slices=int(np.ceil(sum(heart.reach_mm) / _SPACING_ZYX_MM[0])),
        matrix_yx=_MATRIX_YX,
        spacing_zyx_mm=_SPACING_ZYX_MM,
        rng=rng,
    )
    return CohortMember(
        subject_id=f"sample{index + 1:03d}",
        split=split,
        kind=kind,
        labelled_frames=(case.ed_frame, case.es_frame) if labelled else (),
        case=case,
    )


def make_sample_cohort(*, seed: int = SAMPLE_SEED, indices: Iterable[int] | None = None) -> Iterator[CohortMember]:
    """Make the subjects one after another (all by default): 5 labelled, 3 validation, 6 test, 12 unlabelled."""
    for index in range(SAMPLE_SIZE) if indices is None else indices:
        yield make_sample_member(index, seed=seed)


def write_sample_study_files(
    folder: Path,
    *,
    seed: int = SAMPLE_SEED,
    indices: Iterable[int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the cohort, or some of its subjects, in ACDC's layout and return the files written.

    The bytes of the images are those of the same program versions; the pixels depend on the seed alone.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written, rows, truth = [], [], {}
    for member in make_sample_cohort(seed=seed, indices=indices):
        written += _write_member(folder, member)
        rows.append(_row(member))
        truth[member.subject_id] = _truth(member)
        if progress is not None:
            progress(member.subject_id)
    table = folder / "cases.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    volumes = folder / "truth" / "truth.json"
    volumes.parent.mkdir(exist_ok=True)
    volumes.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    readme = folder / "README.md"
    readme.write_text(_README.format(n=len(rows)), encoding="utf-8")
    return [*written, table, volumes, readme]


def _write_member(folder: Path, member: CohortMember) -> list[Path]:
    case, name = member.case, member.subject_id
    files = {folder / name / f"{name}_4d.nii.gz": case.image}
    for frame in member.labelled_frames:
        files[folder / name / f"{name}_frame{frame + 1:02d}_gt.nii.gz"] = case.labels[frame]
    if not member.labelled_frames:
        files[folder / "truth" / f"{name}.nii.gz"] = case.labels
    for path, array in files.items():
        path.parent.mkdir(exist_ok=True)
        _write_nifti(path, array, case.spacing_zyx_mm, case.frame_interval_ms)
    return list(files)


def _write_nifti(
    path: Path, array: NDArray[np.uint8], spacing_zyx_mm: tuple[float, ...], frame_interval_ms: float
) -> None:
    """Write (Z, Y, X) or (T, Z, Y, X) with the time between frames in seconds, the unit that SimpleITK declares."""
    x, y = _X / np.linalg.norm(_X), _Y - _X * (_X @ _Y) / (_X @ _X)
    y = y / np.linalg.norm(y)
    direction = np.eye(array.ndim)
    direction[:3, :3] = np.column_stack([x, y, np.cross(x, y)])
    image = SimpleITK.GetImageFromArray(array, isVector=False)
    time = [frame_interval_ms / 1000.0] if array.ndim == 4 else []
    image.SetSpacing([float(s) for s in spacing_zyx_mm[::-1]] + time)
    image.SetOrigin([*_ORIGIN_XYZ_MM, *([0.0] if time else [])])
    image.SetDirection(direction.ravel().tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True, compressionLevel=9)


def _row(member: CohortMember) -> dict[str, Any]:
    case = member.case
    return {
        "patient": member.subject_id,
        "group": _GROUPS[member.kind],
        "split": _SPLIT_WORDS[member.split],
        "ed_frame": case.ed_frame + 1,
        "es_frame": case.es_frame + 1,
        "n_frames": case.image.shape[0],
        "n_slices": case.image.shape[1],
        "spacing_x_mm": case.spacing_zyx_mm[2],
        "spacing_z_mm": case.spacing_zyx_mm[0],
    }


def _truth(member: CohortMember) -> dict[str, Any]:
    return {
        "kind": member.kind.value,
        "frame_interval_ms": round(member.case.frame_interval_ms, 3),
        "volume_ml": {name: np.round(ml, 4).tolist() for name, ml in member.case.true_volume_ml.items()},
    }
