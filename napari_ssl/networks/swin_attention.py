"""Multi-head attention within shifted windows: Liu et al., Swin transformer, ICCV 2021, Sec. 3.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["WindowAttention"]

_WINDOW = 7
_SHIFT = 3
_APART = -100.0


class WindowAttention(nn.Module):
    """Attention of each token to those of its window of 7×7, with a learnt bias by relative position.

    Windows that do not fit are filled up; shifted ones wrap around. A token attends neither to filling nor to tokens
    that are neighbours by wrapping alone.

    Parameters
    ----------
    width, n_heads : int
        Channels, a multiple of the heads.
    is_shifted : bool
        Windows displaced by three tokens, along axes longer than a window.
    """

    def __init__(self, width: int, n_heads: int, *, is_shifted: bool) -> None:
        super().__init__()
        self.n_heads, self.is_shifted = n_heads, is_shifted
        self.scale = (width // n_heads) ** -0.5
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.bias_by_position = nn.Parameter(torch.empty((2 * _WINDOW - 1) ** 2, n_heads))
        nn.init.trunc_normal_(self.bias_by_position, std=0.02)
        y, x = torch.meshgrid(torch.arange(_WINDOW), torch.arange(_WINDOW), indexing="ij")
        y, x = y.flatten(), x.flatten()
        index = (y[:, None] - y + _WINDOW - 1) * (2 * _WINDOW - 1) + (x[:, None] - x + _WINDOW - 1)
        self.register_buffer("position", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B, Y, X, C)`` to tokens of the same shape."""
        n, height, width, _ = x.shape
        shifts = [_SHIFT if self.is_shifted and size > _WINDOW else 0 for size in (height, width)]
        x = functional.pad(x, (0, 0, 0, -width % _WINDOW, 0, -height % _WINDOW))
        padded = x.shape[1:3]
        if any(shifts):
            x = torch.roll(x, [-s for s in shifts], dims=(1, 2))
        windows = self._attend(_to_windows(x), _apart((height, width), padded, shifts, x.device))
        x = _from_windows(windows, n, padded)
        if any(shifts):
            x = torch.roll(x, shifts, dims=(1, 2))
        return x[:, :height, :width]

    def _attend(self, windows: Tensor, apart: Tensor | None) -> Tensor:
        """``(B·W, 49, C)``; `apart` ``(W, 49, 49)`` is added to the attention of every head."""
        n, tokens, channels = windows.shape
        heads = self.query_key_value(windows).view(n, tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        attention = (query * self.scale) @ key.transpose(-2, -1)
        attention = attention + self.bias_by_position[self.position].permute(2, 0, 1)
        if apart is not None:
            n_windows = len(apart)
            attention = attention.view(-1, n_windows, self.n_heads, tokens, tokens) + apart[:, None]
            attention = attention.view(n, self.n_heads, tokens, tokens)
        mixed = attention.softmax(dim=-1).to(value.dtype) @ value
        return self.project(mixed.transpose(1, 2).reshape(n, tokens, channels))


def _to_windows(x: Tensor) -> Tensor:
    """``(B, Y, X, C)`` → ``(B·W, 49, C)``."""
    n, height, width, channels = x.shape
    x = x.view(n, height // _WINDOW, _WINDOW, width // _WINDOW, _WINDOW, channels)
    return x.transpose(2, 3).reshape(-1, _WINDOW * _WINDOW, channels)


def _from_windows(windows: Tensor, n: int, size: tuple[int, int]) -> Tensor:
    """``(B·W, 49, C)`` → ``(B, Y, X, C)``."""
    height, width = size
    x = windows.view(n, height // _WINDOW, width // _WINDOW, _WINDOW, _WINDOW, -1)
    return x.transpose(2, 3).reshape(n, height, width, -1)


def _apart(size: tuple[int, int], padded: tuple[int, int], shifts: list[int], device: torch.device) -> Tensor | None:
    """What to add to the attention of two tokens, ``(W, 49, 49)``: 0, or −100 where they are not neighbours.

    Along each axis a token, in its shifted place, belongs to the image, to the filling, or to what wrapped around.
    """
    if tuple(size) == tuple(padded) and not any(shifts):
        return None
    regions = []
    for n, full, shift in zip(size, padded, shifts, strict=True):
        place = (torch.arange(full, device=device) + shift) % full
        regions.append((place >= n).long() + 2 * (place < shift).long())
    both = regions[0][:, None] * 4 + regions[1]
    windows = _to_windows(both[None, :, :, None])[..., 0]
    return _APART * (windows[:, :, None] != windows[:, None, :]).float()
