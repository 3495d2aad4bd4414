"""What a user may say about how a folder is read."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from napari_ssl.io.identity import Pseudonyms

__all__ = ["ScanOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """Choices of the layouts that need some.

    Parameters
    ----------
    pseudonyms : Pseudonyms
        Of the study; by default of a key that is thrown away, for looking only.
    phases : {"auto", "instance"}
        What orders the phases of a DICOM cine: temporal position or trigger time, or, at the user's word,
        InstanceNumber.
    keep_body : bool
        Keep sex, height and weight that DICOM files state.
    channel : str or None
        Which channel of images of several, by its name or number.
    progress : callable, optional
        Called with (done, total, text) while headers are read.
    should_stop : callable, optional
        Asked between files.
    """

    pseudonyms: Pseudonyms = field(default_factory=lambda: Pseudonyms(secrets.token_bytes(32)))
    phases: str = "auto"
    keep_body: bool = False
    channel: str | None = None
    progress: Callable[[int, int, str], None] | None = None
    should_stop: Callable[[], bool] | None = None
