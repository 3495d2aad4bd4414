"""One channel of an image that holds several along its fourth axis, which must not be taken for time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.io.conversion import Converted, StoppedError
from napari_ssl.io.hashing import hash_file
from napari_ssl.io.reading import ImageHeader, read_header, read_image

__all__ = ["ChannelConversion", "choose_channel"]


def choose_channel(channels: dict[str, str], wanted: str | None, where: Path) -> int:
    """Return the number of the channel that the user named.

    Parameters
    ----------
    channels : mapping of number to name
    wanted : str or None
        A name or number; may be left out where there is one channel.

    Raises
    ------
    ImageError
        Several channels and none named, or one that is not there.
    """
    if odd := [number for number in channels if not (number.isdecimal() and len(number) <= 4)]:
        raise ImageError(f"{where}: numbers a channel {odd[0]!r:.40}; channels are numbered from 0, correct it")
    known = ", ".join(f"{number}={name}" for number, name in channels.items())
    if wanted is None:
        if len(channels) == 1:
            return int(next(iter(channels)))
        raise ImageError(f"{where}: its images have {len(channels)} channels ({known}); choose one: --channel NAME")
    for number, name in channels.items():
        if wanted.lower() in (number.lower(), name.lower()):
            return int(number)
    raise ImageError(f"{where}: no channel {wanted!r}; there are {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConversion:
    """See `io.conversion.Conversion`."""

    path: Path
    channel: int
    name: str
    format: str = "channel"

    @property
    def shown(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def problem(self) -> str:
        """Never known before the pixels are read."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which channel was taken."""
        return (f"channel {self.channel} ({self.name}) of several is taken",)

    def header(self) -> ImageHeader:
        """Return what the image will be; ImageError where the file has no such channel."""
        header = read_header(self.path)
        if self.channel >= header.shape_tzyx[0]:
            raise ImageError(
                f"{self.path}: has {header.shape_tzyx[0]} channels, its data set says that number {self.channel} is "
                f"{self.name}; correct dataset.json or the image"
            )
        geometry = replace(header.geometry, is_4d=False, frame_interval_ms=None)
        return ImageHeader(
            shape_tzyx=(1, *header.shape_tzyx[1:]),
            spacing_zyx_mm=geometry.spacing_zyx_mm,
            frame_interval_ms=None,
            geometry=geometry,
        )

    def fingerprint(self) -> str:
        """Return the file's hash and the channel."""
        return f"{hash_file(self.path)}#{self.channel}"

    def convert(self, should_stop: Callable[[], bool] | None = None) -> Converted:
        """Read the channel."""
        if should_stop is not None and should_stop():
            raise StoppedError
        geometry = self.header().geometry
        data = read_image(self.path, frames=[self.channel]).data
        source = {"format": self.format, "fingerprint": self.fingerprint(), "channel": self.name}
        return Converted(data=data, geometry=geometry, source=source, details={"path": str(self.path)})
