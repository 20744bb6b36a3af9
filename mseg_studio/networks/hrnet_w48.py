"""HRNetV2-W48: the network of every published MSeg model. 65,985,554 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.hrnet import HRNet, HRNetConfig, StageConfig
from mseg_studio.networks.spec import NetworkSpec

CONFIG = HRNetConfig(
    stage1_blocks=4,
    stage1_channels=64,
    stages=(StageConfig(1, 4, (48, 96)), StageConfig(4, 4, (48, 96, 192)), StageConfig(3, 4, (48, 96, 192, 384))),
)

NETWORK = NetworkSpec(
    name="hrnet-w48",
    build=lambda num_classes: HRNet(CONFIG, num_classes),
    logits_stride=4,
    size_multiple=8,
    head_weight_key="last_layer.3.weight",
)
