"""PSPNet on a ResNet-101: deeper than the 50, the same head. 68,206,916 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.pspnet import PSPNetConfig, pspnet_spec

CONFIG = PSPNetConfig(blocks=(3, 4, 23, 3))

NETWORK = pspnet_spec("pspnet-101", CONFIG)
