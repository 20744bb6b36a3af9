"""What the inference process tells the window. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.labels.comparison import Comparison
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import PLAIN, Readout
from mseg_studio.progress import Progress


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The process is up: what it runs on, for the device badge."""

    device: str
    """Device that `auto` means here: cpu, cuda:0 or mps."""
    label: str
    """A few words for the badge, such as "CPU · torch · float32"."""
    seconds: float
    """From the start of the process to this message."""


@dataclass(frozen=True, slots=True)
class SegmentProgress:
    """Tiles done of the request in flight."""

    generation: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class LabelsReady:
    """Answer to `segment` and to `project`: a label map that is the receiver's own copy."""

    generation: int
    labels: LabelMap
    model: str
    sidecar: dict[str, Any]
    """Keys of the sidecar JSON (contracts.md) that inference knows: model, recipe, recipe_hash, engine, precision,
    device, certified_share, mapping, readout."""
    seconds: float
    """Network and projection time in the process."""
    network_ran: bool
    """False for `project`: the kept scores were enough."""
    readout: Readout = PLAIN
    """What was asked for beside the taxonomy."""
    measure_HW: npt.NDArray[np.uint8] | None = None
    """The measure of `readout` for the screen, (H, W): 255 is 1. None when it has no measure."""


@dataclass(frozen=True, slots=True)
class ProbeReady:
    """Answer to `probe`: probabilities at one pixel."""

    generation: int
    x: int
    y: int
    model_top: tuple[tuple[int, str, float], ...]
    """Five most probable (id, name, probability) in the model's taxonomy."""
    target_top: tuple[tuple[int, str, float], ...]
    """The same in the output taxonomy."""
    uncovered: float
    """Probability of model classes that have no target."""


@dataclass(frozen=True, eq=False, slots=True)
class ComparisonReady:
    """Answer to `compare`: two label maps and a measure that are the receiver's own copies."""

    generation: int
    comparison: Comparison
    seconds: float
    """Time in the process."""


@dataclass(frozen=True, slots=True)
class InferenceFailed:
    """A request ended in an error a person can read."""

    generation: int
    code: str
    message: str
    file: str


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """A request stopped because it was cancelled or overtaken by a newer one."""

    generation: int


@dataclass(frozen=True, slots=True)
class InferenceDied:
    """The process ended without being asked to; it comes back by itself after `restart_in_s` seconds."""

    message: str
    restart_in_s: float


InferenceEvent = (
    EngineReady
    | SegmentProgress
    | LabelsReady
    | ProbeReady
    | ComparisonReady
    | InferenceFailed
    | RequestCancelled
    | InferenceDied
)
