"""PSPNet on a ResNet-50: the second network of the published code. 49,214,788 parameters at 194 classes."""

from __future__ import annotations

from mseg_studio.networks.pspnet import PSPNetConfig, pspnet_spec

CONFIG = PSPNetConfig(blocks=(3, 4, 6, 3))

NETWORK = pspnet_spec("pspnet-50", CONFIG)
