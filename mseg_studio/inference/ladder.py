"""What is tried in turn when memory runs out (reliability.md, "The worker"). Every rung gives the same labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

GPU_IMAGES_A_PASS = 16
"""Enough small crops to keep a large GPU busy; more only takes memory."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder."""

    device: torch.device
    scores_device: torch.device
    images_a_pass: int
    """Images that go through the network at once."""
    note: str = ""
    """What a person is told; empty on the first rung."""
    on_disk: bool = False
    """Scores are kept in a temporary file."""


def rungs(device: torch.device) -> tuple[Rung, ...]:
    """The ladder of a device; the first rungs only cost time."""
    cpu = torch.device("cpu")
    last = Rung(cpu, cpu, 1, "little memory: one image a pass, scores kept in a temporary file", on_disk=True)
    if device.type == "cpu":
        return (Rung(cpu, cpu, 2), Rung(cpu, cpu, 1, "little memory: one image a pass"), last)
    return (
        Rung(device, device, GPU_IMAGES_A_PASS),
        Rung(device, device, 2, "little memory: one crop a pass"),
        Rung(device, device, 1, "little memory: one image a pass"),
        Rung(device, cpu, 1, "little memory: one image a pass, scores kept by the CPU"),
        Rung(cpu, cpu, 1, f"{device} is out of memory: running on the CPU"),
        last,
    )
