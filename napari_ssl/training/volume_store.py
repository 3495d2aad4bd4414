"""Training volumes in memory, and the patches that are cut from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import SpecError
from napari_ssl.inference.preprocess import network_size_zyx, resample_labels, resample_volume
from napari_ssl.training.store import Batch, FrameStore, floor_of

__all__ = ["VolumeStore"]

_CENTRES = 4096
_DRAWS = 6


@dataclass
class _Volume:
    """One frame on the network's grid; `outside` pads its image."""

    image: Tensor
    classes: Tensor
    weight: float
    outside: float
    soft: Tensor | None
    centres: list[Tensor] = field(default_factory=list)


class VolumeStore(FrameStore):
    """Volumes as half-precision images and 8-bit class maps, drawn as patches ``(patch_z, *crop_yx)``.

    An entry is one frame of one case; an epoch shows one patch of each. A share `foreground_share` of the patches is
    centred on a voxel of a structure, each structure of the volume being as likely as any other (Isensee et al. 2021);
    the rest, and those of volumes without a structure, lie anywhere inside. A volume that is smaller than a patch is
    padded evenly with its lowest intensity and background.

    Parameters
    ----------
    preprocessing : Preprocessing
    n_classes : int
        Classes, background included.
    """

    def __init__(self, preprocessing: Preprocessing, n_classes: int) -> None:
        super().__init__(preprocessing, n_classes)
        self._volumes: list[_Volume] = []

    def _add_frame(
        self,
        image_zyx: Tensor,
        classes_zyx: Tensor,
        soft_kzyx: Tensor | None,
        weight: float,
        spacing_zyx_mm: tuple[float, float, float],
    ) -> None:
        size = network_size_zyx(image_zyx.shape, spacing_zyx_mm, self.preprocessing)
        classes = resample_labels(classes_zyx[None], size)[0].contiguous()
        soft = None
        if soft_kzyx is not None:
            soft = resample_volume(soft_kzyx[None].float(), size)[0].round_().to(torch.uint8)
        self._volumes.append(
            _Volume(
                image=resample_volume(image_zyx[None, None], size)[0, 0].to(torch.float16).contiguous(),
                classes=classes,
                weight=float(weight),
                outside=floor_of(image_zyx),
                soft=soft,
                centres=_centres(classes),
            )
        )

    def __len__(self) -> int:
        """Return the number of volumes."""
        return len(self._volumes)

    @property
    def weights(self) -> Tensor:
        """Weights ``(N,)`` float32."""
        if not self._volumes:
            raise SpecError("the training set holds no volume; add cases with labels")
        return torch.tensor([v.weight for v in self._volumes])

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return one patch of each volume at `indices` ``(B,)``; without a generator, of its middle."""
        patches = []
        for index in indices.tolist():
            volume = self._volumes[index]
            draws = None if generator is None else torch.rand(_DRAWS, generator=generator).tolist()
            patches.append(self._cut(volume, self._start(volume, draws)))
        images, classes, soft = zip(*patches, strict=True)
        return Batch(
            images=torch.stack(images)[:, None],
            classes=torch.stack(classes),
            weights=self.weights[indices],
            soft=torch.stack(soft) if self.is_soft else None,
        )

    def _start(self, volume: _Volume, draws: list[float] | None) -> list[int]:
        """First voxel of a patch along each axis; negative where the volume is smaller than the patch."""
        sizes = list(zip(volume.image.shape, self.preprocessing.patch_zyx, strict=True))
        middle = [(have - want) // 2 if have > want else -((want - have) // 2) for have, want in sizes]
        if draws is None:
            return middle
        anywhere = [int(u * (have - want + 1)) for u, (have, want) in zip(draws[3:], sizes, strict=True)]
        if draws[0] < self.preprocessing.foreground_share and volume.centres:
            of_class = volume.centres[int(draws[1] * len(volume.centres))]
            centre = of_class[int(draws[2] * len(of_class))].tolist()
            anywhere = [
                min(max(c - want // 2, 0), max(0, have - want)) for c, (have, want) in zip(centre, sizes, strict=True)
            ]
        return [a if have > want else m for a, m, (have, want) in zip(anywhere, middle, sizes, strict=True)]

    def _cut(self, volume: _Volume, start: list[int]) -> tuple[Tensor, Tensor, Tensor | None]:
        inside, pads = [], []
        for first, have, want in zip(start, volume.image.shape, self.preprocessing.patch_zyx, strict=True):
            inside.append(slice(max(0, first), min(have, first + want)))
            pads = [max(0, -first), max(0, first + want - have), *pads]
        region = tuple(inside)
        image = functional.pad(volume.image[region].float(), pads, value=volume.outside)
        classes = functional.pad(volume.classes[region], pads)
        if volume.soft is None:
            return image, classes, None
        soft = functional.pad(volume.soft[(slice(None), *region)].float().div_(255), pads)
        soft[0] += 1 - soft.sum(dim=0)  # rounding to 8 bits; what lies outside is background
        return image, classes, soft

    def whole(self, n: int) -> Iterator[Batch]:
        """Yield all volumes in order, whole and one at a time whatever `n`, since their sizes differ."""
        del n
        for volume in self._volumes:
            yield Batch(
                images=volume.image.float()[None, None],
                classes=volume.classes[None],
                weights=torch.tensor([volume.weight]),
            )

    def digest(self) -> str:
        """SHA-256 over all volumes, their weights and how patches are cut."""
        digest = hashlib.sha256(f"{self.preprocessing.patch_zyx}{self.preprocessing.foreground_share}".encode())
        for volume in self._volumes:
            digest.update(f"{volume.weight}{volume.outside}".encode())
            for tensor in (volume.image, volume.classes, *([] if volume.soft is None else [volume.soft])):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _centres(classes: Tensor) -> list[Tensor]:
    """Voxels ``(n, 3)`` of each structure that is there, at most some thousands, evenly taken."""
    found = []
    for value in torch.unique(classes).tolist():
        if value:
            voxels = torch.nonzero(classes == value)
            found.append(voxels[:: max(1, len(voxels) // _CENTRES)].to(torch.int32).clone())
    return found
