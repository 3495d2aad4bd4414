"""Which frames of an unlabelled cine are used."""

from __future__ import annotations

import numpy as np

__all__ = ["spread_frames"]


def spread_frames(frames: tuple[int, ...], n: int, ed_frame: int | None, es_frame: int | None) -> tuple[int, ...]:
    """Choose `n` of the frames (0 or more than there are: all).

    ED and ES come first where they are known; where they are not, the first frame and the one at a third of the
    cycle, where a heart at rest is near end-systole, stand for them. The others are spread evenly.
    """
    if n <= 0 or n >= len(frames):
        return frames
    first = ed_frame if ed_frame in frames else frames[0]
    second = es_frame if es_frame in frames else frames[len(frames) // 3]
    chosen = list(dict.fromkeys((first, second)))[:n]
    for position in np.linspace(0, len(frames) - 1, 2 * n + 1).round().astype(int).tolist():
        if len(chosen) == n:
            break
        if frames[position] not in chosen:
            chosen.append(frames[position])
    return tuple(sorted(chosen))
