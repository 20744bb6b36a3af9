"""One device setting: what `auto` means here, and what a device is good at."""

from __future__ import annotations

import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference.cpu_features import multiplies_bfloat16
from mseg_studio.inference.engine_choice import resolve_engine
from mseg_studio.inference.recipe import Precision


def resolve_device(setting: str) -> torch.device:
    """The device that `auto`, cpu, cuda, cuda:N or mps means on this machine.

    Raises ConfigError when the machine does not have it.
    """
    if setting == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    head, _, number = setting.partition(":")
    if head == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(number or 0)
        if index >= count:
            raise ConfigError(f"device {setting} is not there: torch sees {count} CUDA devices; try auto or cpu")
        return torch.device("cuda", index)
    if head == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device mps is not there: torch sees no Apple GPU; try auto or cpu")
    if head not in ("cpu", "mps"):
        raise ConfigError(f"device is '{setting}', expected auto, cpu, cuda, cuda:N or mps")
    return torch.device(head)


def resolve_precision(precision: Precision, device: torch.device, engine: str = "auto") -> Precision:
    """What `auto` means on a device under an engine setting: half where it is multiplied in hardware, else float32.

    That is CUDA, and CPUs with bfloat16 units under OpenVINO. Raises ConfigError for what no engine here computes in.
    """
    if precision == "int8":
        resolve_engine(engine, device, precision)
    if precision != "auto":
        return precision
    if device.type == "cpu":
        fast = multiplies_bfloat16() and resolve_engine(engine, device, "half") == "openvino"
        return "half" if fast else "float32"
    return "half" if device.type == "cuda" else "float32"


def device_words(device: torch.device) -> str:
    """The device in words for the badge."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, str(device))
