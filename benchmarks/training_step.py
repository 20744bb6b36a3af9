"""How much faster a training step is in bfloat16 with channels last than in float32, on this CPU.

`python -m benchmarks.training_step`: prints crops a second for both and their ratio. Only processors with native
bfloat16 (AVX512_BF16, AMX) gain.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn
from torch.nn import functional

from mseg_studio.networks.hrnet_w18_small import NETWORK

BATCH, CLASSES = 8, 11


def main() -> None:
    """Time both in turns, so that a busy machine slows both alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--crop", type=int, default=321)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps = {"float32": _make(options.crop, half=False), "bfloat16, channels last": _make(options.crop, half=True)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(times[1:]) for name, times in seconds.items()}
    for name, value in best.items():
        print(f"{name}: {BATCH / value:.1f} crops of {options.crop} px a second, {options.threads} thread(s)")
    slow, fast = best.values()
    print(f"ratio: {slow / fast:.2f}")


def _make(crop_px: int, *, half: bool):  # noqa: ANN202 - a closure
    """One optimizer step on random data."""
    network: nn.Module = NETWORK.build(CLASSES)
    images = torch.randn(BATCH, 3, crop_px, crop_px)
    if half:
        network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH, (crop_px + 1) // 2, (crop_px + 1) // 2))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            strided = network.strided_logits(images)
        logits = functional.interpolate(strided.float(), labels.shape[-2:], mode="bilinear", align_corners=True)
        functional.cross_entropy(logits, labels).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
