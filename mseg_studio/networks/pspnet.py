"""PSPNet (Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017) on a dilated ResNet with a stem of three 3x3.

The last two stages of the ResNet dilate instead of striding, so features stay at an eighth of the input's size; the
pyramid adds averages over 1, 2, 3 and 6 parts a side. Attribute names follow the published checkpoints' keys. What
those need (parity.md 2.1): everything upsamples bilinearly with `align_corners=True`; stages stride in their 3x3
convolution; checkpoints always hold the auxiliary head, which only training runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mseg_studio.networks.sample_dropout import SampleDropout2d
from mseg_studio.networks.spec import NetworkSpec

_BINS = (1, 2, 3, 6)
_DROPOUT = 0.1
_EXPANSION = 4


@dataclass(frozen=True, slots=True)
class PSPNetConfig:
    """Depth and width of a PSPNet; every other width is a multiple of the first stage's."""

    blocks: tuple[int, int, int, int]
    """Bottlenecks of the four stages."""
    width: int = 64
    """Inner channels of the first stage."""


class DilatedBottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with four times the channels at the end, and a shortcut; the 3x3 may dilate."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = channels * _EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, 4 * channels, ceil(H / stride), ceil(W / stride))."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        joined: Tensor = self.relu(out + shortcut)
        return joined


class PyramidPooling(nn.Module):
    """The features beside their averages over the parts of each bin, brought back to their size."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(parts),
                nn.Conv2d(in_channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for parts in _BINS
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, in + 4 * channels, H, W)."""
        size = x.shape[-2:]
        gathered = [x]
        for feature in self.features:
            gathered.append(functional.interpolate(feature(x), size=size, mode="bilinear", align_corners=True))
        return torch.cat(gathered, dim=1)


class PSPNet(nn.Module):
    """PSPNet with its main and its auxiliary head.

    In training the pyramid's coarsest average has one value a channel and image, so its batch normalisation needs at
    least two images; the heads drop channels at random, by the seeds of `seed_dropout`.
    """

    def __init__(self, config: PSPNetConfig, num_classes: int) -> None:
        super().__init__()
        width = config.width
        self.layer0 = nn.Sequential(
            *_conv_norm_relu(3, width, stride=2),
            *_conv_norm_relu(width, width),
            *_conv_norm_relu(width, 2 * width),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        outs = [factor * width * _EXPANSION for factor in (1, 2, 4, 8)]
        first, second, third, fourth = config.blocks
        self.layer1 = _stage(2 * width, width, first)
        self.layer2 = _stage(outs[0], 2 * width, second, stride=2)
        self.layer3 = _stage(outs[1], 4 * width, third, dilation=2)
        self.layer4 = _stage(outs[2], 8 * width, fourth, dilation=4)
        self.ppm = PyramidPooling(outs[3], outs[3] // len(_BINS))
        self.cls = _head(2 * outs[3], 8 * width, num_classes)
        self.aux = _head(outs[2], 4 * width, num_classes)
        self.apply(_init_weights)

    def strided_logits(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, num_classes, ceil(H / 8), ceil(W / 8)) of normalised images (N, 3, H, W), of the main head."""
        return self._main(self._middle(images_NCHW))

    def training_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """What `strided_logits` gives, and the same of the auxiliary head, for a loss of both."""
        middle = self._middle(images_NCHW)
        auxiliary: Tensor = self.aux(middle)
        return self._main(middle), auxiliary

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of normalised images (N, 3, H, W), of the main head."""
        logits = self.strided_logits(images_NCHW)
        return functional.interpolate(logits, size=images_NCHW.shape[-2:], mode="bilinear", align_corners=True)

    def _middle(self, images_NCHW: Tensor) -> Tensor:
        """Features of the third stage: the auxiliary head looks at these."""
        features: Tensor = self.layer3(self.layer2(self.layer1(self.layer0(images_NCHW))))
        return features

    def _main(self, middle: Tensor) -> Tensor:
        logits: Tensor = self.cls(self.ppm(self.layer4(middle)))
        return logits


def pspnet_spec(name: str, config: PSPNetConfig) -> NetworkSpec:
    """The spec of a PSPNet of any depth: what follows from the architecture is the same for all."""
    return NetworkSpec(
        name=name,
        build=lambda num_classes: PSPNet(config, num_classes),
        logits_stride=8,
        size_multiple=8,
        head_weight_key="cls.4.weight",
        auxiliary_head_weight_key="aux.4.weight",
        backbone_lacks=("ppm", "cls", "aux"),
        backbone_extras=("fc",),
        backbone_renamed=tuple(
            (f"{kind}{number + 1}", f"layer0.{3 * number + place}")
            for number in range(3)
            for place, kind in enumerate(("conv", "bn"))
        ),
    )


def _stage(in_channels: int, channels: int, blocks: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    first = DilatedBottleneck(in_channels, channels, stride=stride, dilation=dilation)
    wide = channels * _EXPANSION
    return nn.Sequential(
        first, *(DilatedBottleneck(wide, channels, stride=1, dilation=dilation) for _ in range(blocks - 1))
    )


def _head(in_channels: int, channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv_norm_relu(in_channels, channels),
        SampleDropout2d(_DROPOUT, channels),
        nn.Conv2d(channels, num_classes, 1),
    )


def _conv_norm_relu(in_channels: int, channels: int, *, stride: int = 1) -> tuple[nn.Module, nn.Module, nn.Module]:
    return _conv3x3(in_channels, channels, stride=stride), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


def _conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)


def _init_weights(module: nn.Module) -> None:
    """Kaiming for every convolution, as HRNet does here."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
