"""Which engine runs a network, and making it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference import cpu_features, openvino_runtime
from mseg_studio.inference.engine import Engine, NetworkSource, is_out_of_memory
from mseg_studio.inference.engines.torch_engine import TorchEngine
from mseg_studio.inference.recipe import Precision

_LOG = logging.getLogger(__name__)


def resolve_engine(setting: str, device: torch.device, precision: Precision) -> str:
    """The engine, torch or openvino, that `setting` (auto, torch or openvino) means.

    auto: OpenVINO on the CPU where it is installed, torch elsewhere and for half where no unit multiplies bfloat16.
    Raises ConfigError for what no engine can do, naming what to change.
    """
    if precision == "int8" and (setting == "torch" or device.type != "cpu"):
        raise ConfigError("precision int8 needs engine openvino on the CPU; else choose float32 or half")
    if setting == "torch" or (setting == "auto" and device.type != "cpu"):
        return "torch"
    if device.type != "cpu":
        raise ConfigError(f"engine openvino runs on the CPU, not on {device.type}; choose engine torch or device cpu")
    there = openvino_runtime.is_installed()
    if not there and (setting == "openvino" or precision == "int8"):
        raise ConfigError("engine openvino is not installed; `pip install openvino` installs it")
    if not there or (setting == "auto" and precision == "half" and not cpu_features.multiplies_bfloat16()):
        return "torch"
    return "openvino"


def make_engine(
    source: NetworkSource,
    device: torch.device,
    precision: Precision,
    *,
    threads: int | None = None,
    setting: str = "auto",
    tell: Callable[[str], None] | None = None,
) -> Engine:
    """The engine that `setting` (auto, torch or openvino) means on `device`, ready to run.

    Where auto means OpenVINO and it fails, torch takes over; the log and `tell` get the reason in words. Raises
    CheckpointError when the network cannot be loaded, ConfigError for what no engine can do.
    """
    if resolve_engine(setting, device, precision) == "torch":
        return TorchEngine(source.load(), device=device, precision=precision)
    try:
        from mseg_studio.inference.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(source, precision=precision, threads=threads)
    except (ImportError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if setting == "openvino" or precision == "int8":
            raise ConfigError(f"engine openvino does not run this model: {reason}") from error
        _LOG.warning("engine openvino does not run %s, torch does: %s", source.name or source.spec.name, reason)
        if tell is not None:
            tell(f"OpenVINO does not run this model: {reason}")
    return TorchEngine(source.load(), device=device, precision=precision)
