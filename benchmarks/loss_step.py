"""How much faster a training step is with the banded loss than with the eager loss it equals.

`python -m benchmarks.loss_step`: a whole step (forward, loss at the labels' full size, backward, optimizer) of
HRNet-W18-small with 194 classes, in turns with the same step whose loss upsamples the logits and calls torch's cross
entropy. One JSON line a precision: `value` is how many times as many images a second, `of_plain` the same against a
plain step: eager loss, float32, torch's default memory layout. `loss_free` is the ratio that a loss without any cost
would give.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from mseg_studio.inference.openmp import wait_quietly

CLASSES = 194
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
    variants = {"plain": _step(options.batch, options.crop, loss="eager", half=False, channels_last=False)}
    for precision, half in (("float32", False), ("bfloat16", True)):
        for loss in ("eager", "banded", "none"):
            variants[f"{loss} {precision}"] = _step(options.batch, options.crop, loss=loss, half=half)
    for run in variants.values():
        run()
    timed = in_turns(variants, rounds=options.rounds)
    rates = {name: options.batch / one.median for name, one in timed.items()}
    for precision in ("float32", "bfloat16"):
        banded, eager = (rates[f"{loss} {precision}"] for loss in ("banded", "eager"))
        details = {
            "of_plain": banded / rates["plain"],
            "loss_free": rates[f"none {precision}"] / eager,
            "images_per_s": {"banded": banded, "eager": eager, "plain": rates["plain"]},
            "losses": {loss: timed[f"{loss} {precision}"].answer for loss in ("banded", "eager")},
            "threads": torch.get_num_threads(),
            "runs": options.rounds,
        }
        claim = Claim(f"training_step_banded_loss_{precision}", banded / eager, "x", GOAL, details=details)
        print(json.dumps(claim.as_dict()), flush=True)


def _step(batch: int, crop_px: int, *, loss: str, half: bool, channels_last: bool = True) -> Callable[[], float]:
    """One step on the same random data and from the same weights for all; it gives its loss."""
    import torch
    from torch.nn import functional

    from mseg_studio.networks.hrnet_w18_small import NETWORK
    from mseg_studio.training.banded_loss import banded_cross_entropy
    from mseg_studio.training.losses import cross_entropy

    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = NETWORK.build(CLASSES).to(memory_format=layout)
    images = torch.randn(batch, 3, crop_px, crop_px).to(memory_format=layout)
    labels = torch.randint(0, CLASSES, (batch, crop_px // 20 + 1, crop_px // 20 + 1))
    labels = labels.repeat_interleave(20, dim=1).repeat_interleave(20, dim=2)[:, :crop_px, :crop_px].contiguous()
    labels[:, : crop_px // 20] = 255
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            strided = network.strided_logits(images)
        strided = strided.float()
        if loss == "banded":
            value = banded_cross_entropy(strided, labels, None)
        elif loss == "eager":
            full = functional.interpolate(strided, labels.shape[-2:], mode="bilinear", align_corners=True)
            value = cross_entropy(full, labels, None)
        else:
            value = strided.mean()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(value.item())

    return step


if __name__ == "__main__":
    wait_quietly()
    main()
