"""Images of any size through networks that halve their input several times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

__all__ = ["Output", "enlarged", "run_padded"]

Output = Tensor | tuple[Tensor, ...]


def run_padded(
    network: Callable[[Tensor], Output], image: Tensor, multiple: int | Sequence[int], *, at_least: int = 1
) -> Output:
    """Zero-pad `image` evenly to multiples of `multiple`, run, and cut the padding off the result.

    Zero is what training pads with too: the dark end of the intensity window.

    Parameters
    ----------
    network : callable
        Maps ``(B, C, [Z,] Y, X)`` to one tensor of that size, or to several of which some are of lower resolution.
    image : Tensor (B, C, [Z,] Y, X)
    multiple : int or sequence of int
        For all axes alike or for each.
    at_least : int
        So many multiples along Y and X at least, for layers that need more than one pixel at the bottom.

    Returns
    -------
    Tensor or tuple of Tensor
        Where nothing was padded, what the network gave. Otherwise tensors of the image's size: those of lower
        resolution are enlarged linearly first, since the border seldom falls between their pixels.
    """
    size = image.shape[2:]
    multiples = [multiple] * len(size) if isinstance(multiple, int) else list(multiple)
    least = [1] * (len(size) - 2) + [at_least] * 2
    padded = [m * max(n, -(-s // m)) for s, m, n in zip(size, multiples, least, strict=True)]
    if padded == list(size):
        return network(image)
    before = [(p - s) // 2 for p, s in zip(padded, size, strict=True)]
    widths = [w for p, s, b in zip(padded, size, before, strict=True) for w in (p - s - b, b)]
    result = network(functional.pad(image, widths[::-1]))
    inside = (..., *(slice(b, b + s) for b, s in zip(before, size, strict=True)))
    if isinstance(result, Tensor):
        return result[inside]
    return tuple(enlarged(t, padded)[inside] for t in result)


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return ``(B, K, …)`` maps at `size`, linearly interpolated; the argument itself if they have it."""
    if list(maps.shape[2:]) == list(size):
        return maps
    mode = "bilinear" if maps.ndim == 4 else "trilinear"
    return functional.interpolate(maps, size=list(size), mode=mode, align_corners=False)
