"""HRNetV2-W18-small (v1): small enough to train and to run live on a laptop. 1,582,994 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.hrnet import HRNet, HRNetConfig, StageConfig
from mseg_studio.networks.spec import NetworkSpec

CONFIG = HRNetConfig(
    stage1_blocks=1,
    stage1_channels=32,
    stages=(StageConfig(1, 2, (16, 32)), StageConfig(1, 2, (16, 32, 64)), StageConfig(1, 2, (16, 32, 64, 128))),
)

NETWORK = NetworkSpec(
    name="hrnet-w18-small",
    build=lambda num_classes: HRNet(CONFIG, num_classes),
    logits_stride=4,
    size_multiple=8,
    head_weight_key="last_layer.3.weight",
)
