"""HRNetV2-W48: the network of every published MSeg model. 65,985,554 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.hrnet import HRNetConfig, StageConfig, hrnet_spec

CONFIG = HRNetConfig(
    stage1_blocks=4,
    stage1_channels=64,
    stages=(StageConfig(1, 4, (48, 96)), StageConfig(4, 4, (48, 96, 192)), StageConfig(3, 4, (48, 96, 192, 384))),
)

NETWORK = hrnet_spec("hrnet-w48", CONFIG)
