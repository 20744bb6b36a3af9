"""Small stand-ins for what is slow or large in real life."""

from __future__ import annotations

import numpy as np
import torch

from mseg_studio.media.frame import Frame
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection
from tests.goldens.weights import TINY


def tiny_network(*, num_classes: int = 194, seed: int = 0) -> torch.nn.Module:
    """The network of the small goldens with random weights, whose logits differ from place to place."""
    generator = torch.Generator().manual_seed(seed)
    network = TINY.build(num_classes)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.ndim == 4:
                fan_in = tensor[0].numel()
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / fan_in) ** 0.5)
        head = network.last_layer[3].weight
        head -= head.mean(dim=1, keepdim=True)
        head *= 4
    return network.eval()


def make_pixels(height: int = 60, width: int = 90, *, seed: int = 0) -> np.ndarray:
    """RGB uint8 (height, width, 3): smooth blobs with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = []
    for _ in range(3):
        a, b, c = rng.random(3) * 6
        planes.append(np.sin(x / width * 2 * a + c) * np.cos(y / height * 2 * b - c))
    smooth = np.stack(planes, axis=-1) * 100 + 128
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def make_frame(height: int = 60, width: int = 90, *, seed: int = 0) -> Frame:
    """A frame of `make_pixels`."""
    return Frame(make_pixels(height, width, seed=seed))


def make_taxonomy(name: str = "letters", *, num_classes: int = 5) -> Taxonomy:
    """Classes `class 0`, `class 1`, ... with ids from 0."""
    classes = (ClassInfo(i, f"class {i}", (i % 256, i // 256, (7 * i) % 256)) for i in range(num_classes))
    return Taxonomy(name, tuple(classes), ignore_id=255 if num_classes <= 255 else 65535)


def make_projection(source: Taxonomy, *, groups: int = 3, name: str = "groups", drop: int = 1) -> Projection:
    """Source class i goes to target class i % groups; the last `drop` classes map nowhere."""
    target = make_taxonomy(name, num_classes=groups)
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    for position, info in enumerate(source.classes[: len(source.classes) - drop]):
        weights[position % groups, info.id] = 1
    return Projection(source, target, weights)
