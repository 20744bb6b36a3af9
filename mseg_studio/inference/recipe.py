"""How an image is segmented: sizes, scales, flip, precision and device. Torch-free."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from mseg_studio.errors import ConfigError, nearest
from mseg_studio.settings import check_device

Precision = Literal["auto", "float32", "half", "int8"]
ENGINES = ("auto", "torch", "openvino")
PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides an answer. None means: as the model's card says."""

    base_size: int | None = None
    """Short side in pixels at scale 1."""
    crop_px: int | None = None
    """Side of the sliding window in pixels."""
    scales: tuple[float, ...] = (1.0,)
    """The image is segmented at each of these times base_size; probabilities are averaged."""
    flip: bool = True
    """Average with the mirrored image: on in every published number."""
    whole: bool = False
    """The whole scaled image goes through the network at once instead of crop by crop, which the answer of a network
    trained on crops only approximates; `crop_px` is not used."""
    precision: Precision = "auto"
    """auto is half where the device multiplies it in hardware, else float32."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; not in the hash."""
    engine: str = "auto"
    """auto, torch or openvino; not in the hash: in one precision engines differ by rounding only."""

    def __post_init__(self) -> None:
        for name, value in (("base_size", self.base_size), ("crop_px", self.crop_px)):
            if value is not None and not (type(value) is int and 8 <= value <= 16384):
                raise ConfigError(f"recipe: {name} is {value}, expected a whole number from 8 to 16384")
        if not self.scales or not all(math.isfinite(s) and 0.05 <= s <= 8 for s in self.scales):
            raise ConfigError(f"recipe: scales are {self.scales}, expected numbers from 0.05 to 8")
        if self.precision not in ("auto", "float32", "half", "int8"):
            raise ConfigError(f"recipe: precision is '{self.precision}', expected float32, half, int8 or auto")
        if type(self.whole) is not bool:
            raise ConfigError(f"recipe: whole is {self.whole!r}, expected true or false")
        check_device(self.device)
        if self.engine not in ENGINES:
            raise ConfigError(f"recipe: unknown engine '{self.engine}'{nearest(str(self.engine), ENGINES)}")

    def resolved(self, *, base_size: int, crop_px: int, precision: Precision) -> Recipe:
        """This recipe with the model card's sizes and the device's precision where it leaves them open."""
        return dataclasses.replace(
            self,
            base_size=self.base_size or base_size,
            crop_px=self.crop_px or crop_px,
            precision=precision if self.precision == "auto" else self.precision,
        )

    def for_published_numbers(self) -> Recipe:
        """This recipe in float32 unless a precision was asked for: numbers to compare do not depend on the machine."""
        return dataclasses.replace(self, precision="float32") if self.precision == "auto" else self

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the answer: no device, no engine. The recipe must be resolved (ValueError)."""
        if self.base_size is None or self.crop_px is None or self.precision == "auto":
            raise ValueError("only a resolved recipe has a hash")
        decides = {key: value for key, value in self.as_dict().items() if key not in ("device", "engine")}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self)
        values["scales"] = list(self.scales)
        if not self.whole:
            del values["whole"]  # as it was before there was a choice: results made then stay done
        return values


PRESETS = {
    "live": Recipe(flip=False, whole=True),
    "fast": Recipe(flip=False),
    "balanced": Recipe(),
    "paper": Recipe(scales=PAPER_SCALES),
}


def preset(name: str) -> Recipe:
    """The recipe called live, fast, balanced or paper. Raises ConfigError with the nearest name."""
    if name not in PRESETS:
        raise ConfigError(f"unknown recipe '{name}'{nearest(name, PRESETS)}")
    return PRESETS[name]


def from_dict(values: dict[str, Any]) -> Recipe:
    """The recipe that `as_dict` gave. Raises ConfigError on an unknown key or a wrong value."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in known:
            raise ConfigError(f"recipe: unknown key '{key}'{nearest(str(key), known)}")
    values = dict(values)
    if "scales" in values:
        scales = values["scales"]
        if not isinstance(scales, list | tuple) or not all(isinstance(s, int | float) for s in scales):
            raise ConfigError(f"recipe: scales are {scales!r}, expected a list of numbers")
        values["scales"] = tuple(float(s) for s in scales)
    return Recipe(**values)
