"""The U-Net of nnU-Net: Isensee et al., Nature Methods 2021, through MONAI's ``DynUNet``.

Two units (3×3 convolution, instance normalisation, leaky ReLU 0.01) a stage, strided convolutions down, transposed
ones up, channels 32 to at most 512 (320 in 3D), deep supervision at every resolution but the two coarsest.

Open, settled here
    nnU-Net plans the stages from the spacing and size of a data set. Here the number of stages is a parameter, and in
    3D the depth is halved in the last `depth_halvings` of them alone; the stages before have 1×3×3 kernels, as nnU-Net
    plans for thick slices. Two of them leave a patch of 16 slices with four at the bottom, nnU-Net's least.

Departures
    MONAI enlarges the auxiliary logits and stacks them; here they stay at their own resolution, as in nnU-Net.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import DynUNet as MonaiDynUNet
from torch import Tensor

from napari_ssl.core.catalogue import DynUNetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder

__all__ = ["DynUNet", "build"]


class DynUNet(EncoderDecoder, MonaiDynUNet):
    """MONAI's DynUNet that takes images of any size and gives auxiliary logits as a tuple.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : DynUNetParameters
    dimensions : {2, 3}
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: DynUNetParameters, dimensions: int = 2) -> None:
        n, most = parameters.levels, 320 if dimensions == 3 else 512
        # In 3D a stage that leaves the depth as it is has a flat kernel.
        deep = [dimensions == 2 or level >= n - parameters.depth_halvings for level in range(n)]
        flat = (1,) if dimensions == 3 else ()
        kernels = [(3,) * dimensions if d else (*flat, 3, 3) for d in deep]
        strides = [(1,) * dimensions, *((2,) * dimensions if d else (*flat, 2, 2) for d in deep[1:])]
        n_auxiliary = n - 3 if parameters.deep_supervision else 0
        super().__init__(
            spatial_dims=dimensions,
            in_channels=in_channels,
            out_channels=n_classes,
            kernel_size=kernels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=[min(most, parameters.base_channels * 2**level) for level in range(n)],
            norm_name=("INSTANCE", {"affine": True}),
            act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
            deep_supervision=n_auxiliary > 0,
            deep_supr_num=max(1, n_auxiliary),
        )
        del self.skip_layers  # the same layers again, nested: their weights would be saved twice
        self.n_auxiliary = n_auxiliary
        halvings = [sum(s[axis] == 2 for s in strides) for axis in range(dimensions)]
        self.multiple = tuple(2**h for h in halvings)
        self.at_least = 2  # instance normalisation needs more than one pixel at the bottom

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features of every stage, finest first."""
        self.check_size(images)
        features = [self.input_block(images)]
        for stage in (*self.downsamples, self.bottleneck):
            features.append(stage(features[-1]))
        return features

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the last stage gives and, in training, the logits of the stages before, finest first."""
        *skips, x = features
        auxiliary: list[Tensor] = []
        for n, (stage, skip) in enumerate(zip(self.upsamples, reversed(skips), strict=True)):
            x = stage(x, skip)
            level = len(skips) - 1 - n
            if self.training and 1 <= level <= self.n_auxiliary:
                auxiliary.insert(0, self.deep_supervision_heads[level - 1](x))
        return x, tuple(auxiliary)

    def classify(self, embedding: Tensor) -> Tensor:
        """1×1 convolution."""
        return self.output_block(embedding)


def build(*, in_channels: int, n_classes: int, parameters: DynUNetParameters, dimensions: int = 2) -> DynUNet:
    """Build the network with random weights."""
    return DynUNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
