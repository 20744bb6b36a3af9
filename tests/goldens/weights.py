"""Networks with weights that anyone can make again, and images to go with them: no download, no photo.

Every tensor follows from the name of its key: numpy's frozen `RandomState` stream seeded with the key's CRC-32,
scaled so that activations stay in range. The label maps and logits beside this file are what the published inference
procedure answers with these weights. Files called `*_pattern.npz` hold what this program answers for `pattern_image`,
computed when it agreed with the published ones: they hold it in place where the published images are absent.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from mseg_studio.networks.hrnet import HRNet, HRNetConfig, StageConfig
from mseg_studio.networks.hrnet_w48 import NETWORK as W48
from mseg_studio.networks.pspnet_50 import NETWORK as PSP50
from mseg_studio.networks.spec import NetworkSpec

FOLDER = Path(__file__).parent
TINY_CONFIG = HRNetConfig(
    stage1_blocks=1,
    stage1_channels=16,
    stages=(StageConfig(1, 1, (8, 16)), StageConfig(1, 1, (8, 16, 32)), StageConfig(1, 1, (8, 16, 32, 64))),
)
TINY = NetworkSpec(
    name="hrnet-tiny",
    build=lambda num_classes: HRNet(TINY_CONFIG, num_classes),
    logits_stride=4,
    size_multiple=8,
    head_weight_key="last_layer.3.weight",
)
SPECS = {"tiny": TINY, "w48": W48, "psp50": PSP50}
CROPS_PX = {"tiny": 153, "w48": 473, "psp50": 473}
NUM_CLASSES = 194
_MEAN = np.float32(255) * np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.float32(255) * np.array((0.229, 0.224, 0.225), np.float32)


def golden_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Every key of `network` (one of SPECS) with its shape, in the published order."""
    shapes = {}
    for line in (FOLDER / f"state_dict_{network}.tsv").read_text().splitlines():
        key, shape = line.split("\t")
        shapes[key] = () if shape == "scalar" else tuple(int(size) for size in shape.split("x"))
    return shapes


def golden_state(network: str) -> dict[str, torch.Tensor]:
    """The golden state dict of `network` (one of SPECS): 194 classes, float32."""
    head = np.load(FOLDER / f"head_{network}.npz")
    state = {key: _tensor(key, shape, float(head["head_gain"])) for key, shape in golden_shapes(network).items()}
    last = SPECS[network].head_weight_key.removesuffix(".weight")
    state[f"{last}.weight"] = state[f"{last}.weight"] * np.float32(head["head_scale"])
    state[f"{last}.bias"] = head[f"{last.replace('.', '_')}_bias"]
    return {key: torch.from_numpy(np.array(value)) for key, value in state.items()}


@lru_cache(maxsize=3)
def golden_network(network: str) -> torch.nn.Module:
    """`network` (one of SPECS) with golden weights, evaluation mode. Shared between tests: do not change it."""
    with torch.device("meta"):
        module = SPECS[network].build(NUM_CLASSES)
    module.load_state_dict(golden_state(network), strict=True, assign=True)
    return module.eval().requires_grad_(False)


def crop_NCHW(image_HW3: np.ndarray, side_px: int) -> torch.Tensor:
    """The top-left square of an RGB image, normalised, (1, 3, side, side)."""
    square = (image_HW3[:side_px, :side_px].astype(np.float32) - _MEAN) / _STD
    return torch.from_numpy(square.transpose(2, 0, 1).copy())[None]


def read_rgb(path: Path) -> np.ndarray:
    """An image as the goldens read it, RGB (H, W, 3)."""
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def pattern_image(height: int, width: int) -> np.ndarray:
    """An RGB image (H, W, 3) from whole numbers alone, the same everywhere: blocks of two sizes over a ramp."""
    random = np.random.RandomState(7)
    coarse = random.randint(0, 160, (32, 32, 3)).repeat(48, axis=0).repeat(48, axis=1)
    fine = random.randint(0, 48, (192, 192, 3)).repeat(8, axis=0).repeat(8, axis=1)
    y, x = np.mgrid[:height, :width]
    ramp = ((x * 3 + y * 5) // 32 % 48)[..., None]
    return (coarse[:height, :width] + fine[:height, :width] + ramp).astype(np.uint8)


def _tensor(key: str, shape: tuple[int, ...], head_gain: float) -> np.ndarray:
    if key.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    stream = np.random.RandomState(zlib.crc32(key.encode("ascii")))
    noise = stream.standard_normal(int(np.prod(shape))).reshape(shape)
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        if key in {spec.head_weight_key for spec in SPECS.values()}:
            # Centred over the inputs, so that logits vary over space and not only by class.
            return ((noise - noise.mean(axis=1, keepdims=True)) * head_gain / np.sqrt(fan_in)).astype(np.float32)
        return (noise * 2.0**0.5 / np.sqrt(fan_in)).astype(np.float32)
    if key.endswith("running_var"):
        return (1.0 + 0.1 * np.abs(noise)).astype(np.float32)
    if key.endswith(("running_mean", "bias")):
        return (0.1 * noise).astype(np.float32)
    spread = (0.25, 0.05) if key.endswith(("bn2.weight", "bn3.weight")) else (1.0, 0.1)
    return (spread[0] + spread[1] * noise).astype(np.float32)
