"""What this machine computes on, without torch: the GPUs as their driver knows them, else the CPU. Torch-free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from mseg_studio.settings import available_cores


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a process of a run can have for itself."""

    kind: Literal["cuda", "cpu"]
    number: str
    """What LaunchPlan.devices calls it; empty for a core of the CPU."""
    name: str
    """For people."""
    memory_bytes: int | None = None
    """Memory of its own in bytes; None for a core."""
    free_bytes: int | None = None
    """What other programs leave of it now."""


def devices_here() -> tuple[Device, ...]:
    """The NVIDIA GPUs of this machine in their driver's order; without any, the cores that this process may use.

    CUDA_VISIBLE_DEVICES is respected where it gives numbers.
    """
    return _gpus() or tuple(Device("cpu", "", "CPU core") for _ in range(available_cores()))


def _gpus() -> tuple[Device, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()  # no driver, no card
    try:
        found = []
        for number in _visible(int(pynvml.nvmlDeviceGetCount())):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = str(pynvml.nvmlDeviceGetName(handle))
            found.append(Device("cuda", str(number), name, int(memory.total), int(memory.free)))
        return tuple(found)
    except pynvml.NVMLError:
        return ()  # a card that fell off the bus: torch says more when it is used
    finally:
        pynvml.nvmlShutdown()


def _visible(count: int) -> list[int]:
    """Numbers of the GPUs that programs started from here may use, of `count`."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    words = [] if setting is None else [word.strip() for word in setting.split(",") if word.strip()]
    if setting is None or not all(word.isdigit() for word in words):
        return list(range(count))  # unset, or names of cards: then torch decides
    return [int(word) for word in words if int(word) < count]
