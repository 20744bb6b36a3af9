"""What an architecture is, without torch: its name, how to build it and the size rule of its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One network: how to build it and how to recognise its weights.

    The module has `forward(images_NCHW)`, logits of the input's size, and `strided_logits(images_NCHW)`, the same
    before the last upsampling (bilinear, corners aligned). One with an auxiliary head also has
    `training_logits(images_NCHW)`: what `strided_logits` gives, and the auxiliary head's logits of the same shape.
    """

    name: str
    build: Callable[[int], Any]
    """From the number of classes to a torch module with random weights."""
    logits_stride: int
    """Stride of `strided_logits`."""
    size_multiple: int
    """Input sides must satisfy (side - 1) % size_multiple == 0."""
    head_weight_key: str
    """State-dict key of the last convolution's weight: its first axis is the number of classes."""
    auxiliary_head_weight_key: str = ""
    """The same of the head that only training runs; empty where there is none."""
    backbone_lacks: tuple[str, ...] = ()
    """First words of the keys that no ImageNet backbone has: what is made for the segmentation."""
    backbone_extras: tuple[str, ...] = ()
    """First words of the keys that only an ImageNet backbone has: its classifier."""
    backbone_renamed: tuple[tuple[str, str], ...] = ()
    """First word of a backbone's keys, and what stands for it here."""

    @property
    def class_layers(self) -> tuple[str, ...]:
        """State-dict prefixes of the layers with one row a class: `PREFIX.weight` and `PREFIX.bias`."""
        keys = (self.head_weight_key, self.auxiliary_head_weight_key)
        return tuple(key.removesuffix(".weight") for key in keys if key)

    def check_crop(self, crop_px: int) -> None:
        """Raise ValueError unless `crop_px` is a side this network takes."""
        step = self.size_multiple
        if crop_px <= 2 * step or (crop_px - 1) % step:
            near = max(3, round((crop_px - 1) / step)) * step + 1
            raise ValueError(f"crop {crop_px} does not fit {self.name}: (crop - 1) must divide by {step}; try {near}")
