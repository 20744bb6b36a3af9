"""HRNetV2 for segmentation (Wang et al., "Deep High-Resolution Representation Learning", TPAMI 2020).

Branches of halving resolution run in parallel and exchange features after every module; the head sees all of them at
a quarter of the input's size. Attribute names follow the published checkpoints' keys. What MSeg's published weights
need (parity.md 2.1): fusing and gathering upsample with `align_corners=False`, the logits with `align_corners=True`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mseg_studio.networks.spec import NetworkSpec

_BN_MOMENTUM = 0.01
_STEM_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage: `modules` exchanges, each after `blocks` residual blocks on every branch of `channels`."""

    modules: int
    blocks: int
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HRNetConfig:
    """Widths and depths of an HRNetV2."""

    stage1_blocks: int
    stage1_channels: int
    stages: tuple[StageConfig, StageConfig, StageConfig]

    @property
    def head_channels(self) -> int:
        """Channels of the gathered features: all branches of the last stage."""
        return sum(self.stages[-1].channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, channels)
        self.bn1 = _norm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        joined: Tensor = self.relu(out + x)
        return joined


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with four times the channels at the end, and a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = _norm(channels)
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = _norm(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = _norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), _norm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, 4 * channels, H, W)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        joined: Tensor = self.relu(out + shortcut)
        return joined


class ExchangeModule(nn.Module):
    """Residual blocks on every branch, then every branch becomes the sum of all, brought to its resolution."""

    def __init__(self, channels: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(c) for _ in range(blocks))) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse_path(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One tensor (N, C_i, H_i, W_i) a branch, to the same shapes."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            size = features[target].shape[-2:]
            total: Tensor | None = None
            for source, x in enumerate(features):
                part = paths[source](x)  # type: ignore[index]
                if source > target:
                    part = functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
                total = part if total is None else total + part
            fused.append(self.relu(total))
        return fused


class HRNet(nn.Module):
    """HRNetV2 with the two-layer 1x1 head of MSeg."""

    def __init__(self, config: HRNetConfig, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(3, _STEM_CHANNELS, stride=2)
        self.bn1 = _norm(_STEM_CHANNELS)
        self.conv2 = _conv3x3(_STEM_CHANNELS, _STEM_CHANNELS, stride=2)
        self.bn2 = _norm(_STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        wide = config.stage1_channels * Bottleneck.expansion
        self.layer1 = nn.Sequential(
            *(
                Bottleneck(_STEM_CHANNELS if n == 0 else wide, config.stage1_channels)
                for n in range(config.stage1_blocks)
            )
        )
        stage2, stage3, stage4 = config.stages
        self.transition1 = _transition((wide,), stage2.channels)
        self.stage2 = _stage(stage2)
        self.transition2 = _transition(stage2.channels, stage3.channels)
        self.stage3 = _stage(stage3)
        self.transition3 = _transition(stage3.channels, stage4.channels)
        self.stage4 = _stage(stage4)
        width = config.head_channels
        self.last_layer = nn.Sequential(
            nn.Conv2d(width, width, 1), _norm(width), nn.ReLU(inplace=True), nn.Conv2d(width, num_classes, 1)
        )
        self.apply(_init_weights)

    def strided_logits(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, num_classes, ceil(H / 4), ceil(W / 4)) of normalised images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(images_NCHW)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        features = self.stage2(_enter(self.transition1, [x]))
        features = self.stage3(_enter(self.transition2, features))
        features = self.stage4(_enter(self.transition3, features))
        size = features[0].shape[-2:]
        gathered = [features[0]]
        gathered += [functional.interpolate(f, size=size, mode="bilinear", align_corners=False) for f in features[1:]]
        logits: Tensor = self.last_layer(torch.cat(gathered, dim=1))
        return logits

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of normalised images (N, 3, H, W)."""
        logits = self.strided_logits(images_NCHW)
        return functional.interpolate(logits, size=images_NCHW.shape[-2:], mode="bilinear", align_corners=True)


def hrnet_spec(name: str, config: HRNetConfig) -> NetworkSpec:
    """The spec of an HRNetV2 of any width: what follows from the architecture is the same for all."""
    return NetworkSpec(
        name=name,
        build=lambda num_classes: HRNet(config, num_classes),
        logits_stride=4,
        size_multiple=8,
        head_weight_key="last_layer.3.weight",
        backbone_lacks=("last_layer",),
        backbone_extras=("incre_modules", "downsamp_modules", "final_layer", "classifier"),
    )


def _enter(transition: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Branches of the next stage: a new branch starts from the last, lowest one."""
    return [
        path(features[min(branch, len(features) - 1)]) if path is not None else features[branch]
        for branch, path in enumerate(transition)
    ]


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """Paths into a stage; nn.Identity where a branch goes on unchanged (it has no keys, like the published None)."""
    paths: list[nn.Module] = []
    for branch, channels in enumerate(after):
        if branch >= len(before):
            paths.append(nn.Sequential(_down(before[-1], channels, relu=True)))
        elif before[branch] == channels:
            paths.append(nn.Identity())
        else:
            paths.append(nn.Sequential(_conv3x3(before[branch], channels), _norm(channels), nn.ReLU(inplace=True)))
    return nn.ModuleList(paths)


def _stage(config: StageConfig) -> nn.Sequential:
    return nn.Sequential(*(ExchangeModule(config.channels, config.blocks) for _ in range(config.modules)))


def _fuse_path(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(nn.Conv2d(channels[source], channels[target], 1, bias=False), _norm(channels[target]))
    steps = target - source
    kept = [_down(channels[source], channels[source], relu=True) for _ in range(steps - 1)]
    return nn.Sequential(*kept, _down(channels[source], channels[target], relu=False))


def _down(in_channels: int, out_channels: int, *, relu: bool) -> nn.Sequential:
    parts: list[nn.Module] = [_conv3x3(in_channels, out_channels, stride=2), _norm(out_channels)]
    return nn.Sequential(*parts, nn.ReLU(inplace=True)) if relu else nn.Sequential(*parts)


def _conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=_BN_MOMENTUM)


def _init_weights(module: nn.Module) -> None:
    """Kaiming for every convolution: it trains from scratch where the published normal(0, 0.001) barely starts."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
