"""What networks that have an encoder and a decoder share, and what strategies reach into them by.

::

    image ── encode ──▶ features, finest first ── expand ──▶ embedding ── classify ──▶ logits
                                                     └──────▶ auxiliary logits (deep supervision)
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_ssl.errors import SpecError
from napari_ssl.networks.padding import Output, enlarged, run_padded

__all__ = ["EncoderDecoder"]


class EncoderDecoder(nn.Module):
    """Maps ``(B, C, [Z,] Y, X)`` of any size to logits ``(B, K, [Z,] Y, X)``.

    With deep supervision the result in training mode is a tuple: these logits, then auxiliary logits of lower
    resolution, finest first. In evaluation mode it is always one tensor.

    Attributes
    ----------
    multiple : int or tuple of int
        What the sizes of an image must be multiples of; `forward` and `features` pad, `encode` does not.
    at_least : int
        So many multiples along Y and X.
    """

    multiple: int | tuple[int, ...] = 1
    at_least: int = 1

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features that `decode` takes, finest first, the bottleneck last, each ``(B, F, [Z,] Y, X)``."""
        raise NotImplementedError

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the embedding, which `classify` takes, and the auxiliary logits: none in evaluation mode."""
        raise NotImplementedError

    def classify(self, embedding: Tensor) -> Tensor:
        """Return the logits."""
        raise NotImplementedError

    def decode(self, features: Sequence[Tensor]) -> Output:
        """Return what `forward` returns for the image that `encode` made `features` of, or for changed features."""
        embedding, auxiliary = self.expand(features)
        logits = self.classify(embedding)
        return (logits, *auxiliary) if auxiliary else logits

    def forward(self, images: Tensor) -> Output:
        """Map ``(B, C, [Z,] Y, X)`` to logits ``(B, K, [Z,] Y, X)``; a tuple with deep supervision in training."""
        return run_padded(lambda x: self.decode(self.encode(x)), images, self.multiple, at_least=self.at_least)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the embedding in front of the last layer, ``(B, F, [Z,] Y, X)`` at the image's size.

        A network whose last layer itself enlarges has an embedding of lower resolution; it is enlarged linearly.
        """

        def both(x: Tensor) -> Output:
            embedding, _ = self.expand(self.encode(x))
            return self.classify(embedding), enlarged(embedding, x.shape[2:])

        logits, embedding = run_padded(both, images, self.multiple, at_least=self.at_least)
        return logits, embedding

    def check_size(self, images: Tensor) -> None:
        """Refuse images that `encode` cannot halve as often as it has to.

        Raises
        ------
        SpecError
        """
        size = images.shape[2:]
        multiples = (self.multiple,) * len(size) if isinstance(self.multiple, int) else self.multiple
        if any(s % m for s, m in zip(size, multiples, strict=True)):
            raise SpecError(
                f"{type(self).__name__}.encode takes sizes that are multiples of {multiples}, got {tuple(size)}; pad "
                "the images, or call the network itself, which pads"
            )
