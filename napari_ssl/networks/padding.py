"""Slices of any size through networks that halve their input several times."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

__all__ = ["run_padded"]


def run_padded(network: Callable[[Tensor], Tensor], image: Tensor, multiple: int) -> Tensor:
    """Zero-pad `image` ``(B, C, Y, X)`` evenly to multiples of `multiple`, run, and cut the padding off the result.

    Zero is what training pads with too: the dark end of the intensity window.
    """
    y, x = image.shape[-2:]
    rest_y, rest_x = -y % multiple, -x % multiple
    if not (rest_y or rest_x):
        return network(image)
    top, left = rest_y // 2, rest_x // 2
    padded = functional.pad(image, (left, rest_x - left, top, rest_y - top))
    return network(padded)[..., top : top + y, left : left + x]
