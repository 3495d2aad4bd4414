"""Small NIfTI files made byte by byte or with nibabel, which shares no code with what is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])


@pytest.fixture
def cine() -> NDArray[np.int16]:
    """(T, Z, Y, X) = (3, 4, 5, 6): every voxel another value, so that any swapped axis shows."""
    return np.arange(3 * 4 * 5 * 6, dtype=np.int16).reshape(3, 4, 5, 6)


@pytest.fixture
def nifti(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves an array in the order (x, y, z, t) through nibabel."""

    def save(
        array_xyzt: NDArray[Any],
        name: str = "image.nii.gz",
        *,
        affine: NDArray[Any] = AFFINE,
        pixdim: tuple[float, ...] | None = None,
        units: tuple[str, str] | None = None,
    ) -> Path:
        image = nibabel.Nifti1Image(array_xyzt, affine)
        if units is not None:
            image.header.set_xyzt_units(*units)
        if pixdim is not None:
            image.header["pixdim"][1 : 1 + len(pixdim)] = pixdim
        path = tmp_path / name
        image.to_filename(path)
        return path

    return save
