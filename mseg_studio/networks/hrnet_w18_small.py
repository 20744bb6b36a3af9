"""HRNetV2-W18-small (v1): small enough to train and to run live on a laptop. 1,582,994 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.hrnet import HRNetConfig, StageConfig, hrnet_spec

CONFIG = HRNetConfig(
    stage1_blocks=1,
    stage1_channels=32,
    stages=(StageConfig(1, 2, (16, 32)), StageConfig(1, 2, (16, 32, 64)), StageConfig(1, 2, (16, 32, 64, 128))),
)

NETWORK = hrnet_spec("hrnet-w18-small", CONFIG)
