"""How much faster the program's own training step is than a plain eager one that minimises the same.

`python -m benchmarks.training_step`: whole steps of HRNet-W18-small with 194 classes and the loss at the labels' full
size, on the CPU. The program's step is what a run of a recipe takes: its objective (banded loss), its layout and its
optimizer, in float32 and in bfloat16. The plain one has torch's default layout and optimizer, upsamples the logits and
calls torch's cross entropy, in float32. All in turns, from the same weights on the same batch. One JSON line a
precision: `value` is how many times as many images a second; `loss_free` the ratio if the loss cost nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mseg_studio.inference.openmp import wait_quietly

if TYPE_CHECKING:
    from mseg_studio.training.config import TrainConfig

RECIPE = "single-universal"
"""Published loss and optimizer: SGD, all pixels, all 194 classes."""
GOAL = 3.0


def main() -> None:
    """Time all in turns, so that a busy machine slows all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=0, help="0: one a core")
    parser.add_argument("--crop", type=int, default=321)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import torch

    from benchmarks import machine
    from benchmarks.claims import Claim
    from benchmarks.rounds import in_turns

    torch.set_num_threads(options.threads or machine.cores())
    variants: dict[str, Callable[[], Any]] = {"plain": _plain_step(_config(options))}
    for precision in ("float32", "bfloat16"):
        variants[precision] = _step(_config(options, precision))
        variants[f"{precision} without a loss"] = _step(_config(options, precision), free=True)
    for run in variants.values():
        run()
    timed = in_turns(variants, rounds=options.rounds)
    rates = {name: options.batch / one.median for name, one in timed.items()}
    for precision in ("float32", "bfloat16"):
        details = {
            "loss_free": rates[f"{precision} without a loss"] / rates["plain"],
            "images_per_s": {"program": rates[precision], "plain": rates["plain"]},
            "losses": {"program": timed[precision].answer, "plain": timed["plain"].answer},
            "crop": options.crop,
            "batch": options.batch,
            "threads": torch.get_num_threads(),
            "runs": options.rounds,
        }
        claim = Claim(f"training_step_{precision}", rates[precision] / rates["plain"], "x", GOAL, details=details)
        print(json.dumps(claim.as_dict()), flush=True)


def _config(options: argparse.Namespace, precision: str = "float32") -> TrainConfig:
    from mseg_studio.training.config import DatasetConfig
    from mseg_studio.training.recipes import load_recipe

    settings = [
        f"precision={precision}",
        f"batch={options.batch}",
        f"augment.crop_px={options.crop}",
        f"card_crop_px={options.crop}",
        "network=hrnet-w18-small",
        "device=cpu",
    ]
    dataset = DatasetConfig("camvid-480x360", root=".", classes={"Road": "road", "Sky": "sky"})
    return load_recipe(RECIPE).config(name="step", datasets=(dataset,), settings=settings, start="random")


def _batch(config: TrainConfig) -> tuple[Any, Any]:
    """Random images and labels in squares, a strip of them ignored."""
    import torch

    side, square = config.augment.crop_px, 20
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(config.batch, 3, side, side, generator=generator)
    labels = torch.randint(0, 194, (config.batch, side // square + 1, side // square + 1), generator=generator)
    labels = labels.repeat_interleave(square, dim=1).repeat_interleave(square, dim=2)[:, :side, :side].contiguous()
    labels[:, :square] = 255
    return images, labels


def _step(config: TrainConfig, *, free: bool = False) -> Callable[[], float]:
    """One step as a run takes it, on a batch that is there already; it gives its loss."""
    from mseg_studio.training.head import head_of
    from mseg_studio.training.objective import Objective
    from mseg_studio.training.optim import build_optimizer
    from mseg_studio.training.start import build_network

    objective = Objective(build_network(config, head_of(config)).train(), config)
    optimizer = build_optimizer(objective.network, config.optim)
    images, labels = _batch(config)
    if free:  # the gradient of one pixel an image starts the way back, and costs nothing itself
        labels[:, :, :] = 255
        labels[:, 0, 0] = 0

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        total = objective.pixel_weight(labels)
        loss = objective(images, labels, ((0, slice(0, config.batch)),), total, falling=False).sum()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def _plain_step(config: TrainConfig) -> Callable[[], float]:
    """The same step as one would write it down."""
    import torch
    from torch.nn import functional

    from mseg_studio.training.head import head_of
    from mseg_studio.training.start import build_network

    network = build_network(config, head_of(config)).to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload]
    o = config.optim
    optimizer = torch.optim.SGD(network.parameters(), lr=o.lr, momentum=0.9, weight_decay=o.weight_decay)
    images, labels = _batch(config)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(images), labels, ignore_index=255)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.item())

    return step


if __name__ == "__main__":
    wait_quietly()
    main()
