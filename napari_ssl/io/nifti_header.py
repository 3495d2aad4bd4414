"""What SimpleITK does not tell about a NIfTI file: units, the two statements of spacing, and how long it must be.

SimpleITK takes the spacing from ``pixdim`` whatever the sform says, replaces a zero by one and turns the axis round for
a negative one, without a word. So the header's 348 bytes are read here as well.

**Spacing rule.** A NIfTI file states its spacing twice, as ``pixdim`` and as the lengths of the columns of the sform:

1. they agree within 0.1 %: that is the spacing;
2. all columns have length 1 and ``pixdim`` differs: the sform lost its scale, ``pixdim`` holds
   (the original ACDC files: sform 1×1×1, pixdim 1.5625×1.5625×10);
3. ``pixdim`` is 1×1×1 and the columns differ: ``pixdim`` was never filled in, the sform holds;
4. anything else is refused: nobody but the user can know which one is right.

Without an sform, ``pixdim`` holds. Zero, negative and non-finite values of ``pixdim`` are refused.

Source: NIfTI-1.1 header definition, nifti1.h (``pixdim``, ``xyzt_units``, METHOD 2 and METHOD 3).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ssl.errors import GeometryError, ImageError

__all__ = ["PLAUSIBLE_INTERVAL_MS", "NiftiHeader", "is_gzipped"]

PLAUSIBLE_INTERVAL_MS = (2.0, 2000.0)
"""Time steps outside this range (cine: 15–60 ms, one frame per heart beat: ≈ 1000 ms) are a wrong unit."""

_SIZE = 348
_DATA_TYPES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
_SPATIAL_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_TIME_UNITS_MS = {8: 1000.0, 16: 1.0, 24: 0.001}
_AGREE = 1e-3


def is_gzipped(path: Path) -> bool:
    """Tell from the first two bytes, not from the name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same 32-bit float: 1.3 for 1.2999999523."""
    return float(str(np.float32(value)))


def _offset(value: float, path: Path) -> int:
    if not (math.isfinite(value) and 0 <= value < 2**31):
        raise ImageError(f"{path}: its header places the voxels at byte {value:g}; copy it again from its source")
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """The fields of a NIfTI-1 header that are needed here, in the file's own units."""

    path: Path
    dim: tuple[int, ...]
    pixdim: tuple[float, ...]
    datatype: int
    bits_per_voxel: int
    data_offset: int
    slope: float
    intercept: float
    byte_order: str
    units: int
    sform_code: int
    sform: tuple[tuple[float, ...], ...]
    single_file: bool

    @classmethod
    def read(cls, path: Path) -> NiftiHeader:
        """Read the header of a ``.nii``, ``.nii.gz`` or ``.hdr`` file.

        Raises
        ------
        ImageError
            The file ends within the header, is no NIfTI-1, or has an axis without voxels.
        """
        try:
            opener = gzip.open if is_gzipped(path) else open
            with opener(path, "rb") as file:
                raw = file.read(_SIZE)
        except (OSError, EOFError, zlib.error) as error:
            raise ImageError(f"{path}: its header cannot be read ({error}); copy it again from its source") from error
        if len(raw) < _SIZE:
            raise ImageError(
                f"{path}: ends after {len(raw)} bytes, within the {_SIZE} bytes of a NIfTI header; "
                "the file is truncated or no NIfTI; copy it again from its source"
            )
        order = next((o for o in "<>" if struct.unpack(o + "i", raw[:4])[0] == _SIZE), None)
        magic = raw[344:348]
        if order is None or magic not in (b"n+1\0", b"ni1\0"):
            raise ImageError(
                f"{path}: is no NIfTI-1 file (magic {magic!r}); Analyze and NIfTI-2 files must be converted to NIfTI-1"
            )
        dim = struct.unpack(order + "8h", raw[40:56])
        if not 1 <= dim[0] <= 7:
            raise ImageError(f"{path}: its header says {dim[0]} axes, NIfTI has 1 to 7; copy it again from its source")
        header = cls(
            path=path,
            dim=dim[1 : 1 + max(0, min(dim[0], 7))],
            pixdim=struct.unpack(order + "8f", raw[76:108])[1:],
            datatype=struct.unpack(order + "h", raw[70:72])[0],
            bits_per_voxel=struct.unpack(order + "h", raw[72:74])[0],
            data_offset=_offset(struct.unpack(order + "f", raw[108:112])[0], path),
            slope=struct.unpack(order + "f", raw[112:116])[0],
            intercept=struct.unpack(order + "f", raw[116:120])[0],
            byte_order=order,
            units=raw[123],
            sform_code=struct.unpack(order + "h", raw[254:256])[0],
            sform=tuple(struct.unpack(order + "4f", raw[start : start + 16]) for start in (280, 296, 312)),
            single_file=magic == b"n+1\0",
        )
        if not header.dim or min(header.dim) < 1:
            raise ImageError(f"{path}: size {header.dim} holds an axis without voxels; export the image again")
        header._check(raw)
        return header

    def _check(self, raw: bytes) -> None:
        """Refuse what SimpleITK tells about in the terminal only, or takes for something else."""
        if self.datatype not in _DATA_TYPES:
            raise ImageError(f"{self.path}: NIfTI data type {self.datatype} does not exist; copy it again")
        qform_code, quaternion = (
            struct.unpack(self.byte_order + "h", raw[252:254])[0],
            struct.unpack(self.byte_order + "6f", raw[256:280]),
        )
        for code, name, values in (
            (qform_code, "qform", quaternion),
            (self.sform_code, "sform", tuple(v for row in self.sform for v in row)),
        ):
            if code > 0 and not all(map(math.isfinite, values)):
                raise GeometryError(
                    f"{self.path}: its {name} holds {next(v for v in values if not math.isfinite(v))}, "
                    "so that nobody knows where the image lies; write the true orientation into a copy and import that"
                )

    @property
    def data_start(self) -> int:
        """Offset of the first voxel in the (unpacked) file of the voxels; 352 where the header leaves it out."""
        return max(self.data_offset, _SIZE + 4 if self.single_file else 0)

    @property
    def n_data_bytes(self) -> int:
        """Number of bytes from the start of the (unpacked) file of the voxels to the end of the last one."""
        return self.data_start + math.prod(self.dim) * self.bits_per_voxel // 8

    def spacing_xyz_mm(self) -> tuple[float, ...]:
        """Return the spacing of the axes of space (two or three) by the module's rule.

        Raises
        ------
        GeometryError
            ``pixdim`` is not positive, or contradicts the sform.
        """
        n = min(len(self.dim), 3)
        scale = _SPATIAL_UNITS_MM.get(self.units & 0x07, 1.0)
        pixdim = np.array(self.pixdim[:n])
        if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
            raise GeometryError(
                f"{self.path}: spacing (pixdim) is {tuple(pixdim.tolist())}; every value must be above 0 mm; "
                "write the true spacing into the header or export the image again"
            )
        chosen = pixdim
        lengths = np.linalg.norm(np.array(self.sform)[:, :n], axis=0)
        if self.sform_code > 0 and np.isfinite(lengths).all() and not np.allclose(lengths, pixdim, rtol=_AGREE, atol=0):
            if np.allclose(pixdim, 1.0, rtol=_AGREE) and (lengths > 0).all():
                chosen = lengths
            elif not np.allclose(lengths, 1.0, rtol=_AGREE):
                raise GeometryError(
                    f"{self.path}: pixdim says {tuple(map(_shortest, pixdim))} and the sform "
                    f"{tuple(map(_shortest, lengths))}; napari-ssl cannot know which spacing is right; "
                    "correct the header of a copy and import that"
                )
        return tuple(_shortest(s * scale) for s in chosen)

    def frame_interval_ms(self) -> float | None:
        """Return the time step in ms, or None where the header does not state it.

        None for files without a time axis, without a unit of time, with a step of 1 (what writers leave there when
        they know none: ACDC says "1 s") and for steps outside `PLAUSIBLE_INTERVAL_MS`.
        """
        unit = _TIME_UNITS_MS.get(self.units & 0x38)
        if len(self.dim) < 4 or unit is None or self.pixdim[3] == 1.0:
            return None
        interval = _shortest(self.pixdim[3] * unit)
        low, high = PLAUSIBLE_INTERVAL_MS
        return interval if low <= interval <= high else None
