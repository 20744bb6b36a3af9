"""Networks in 8-bit integers (int8), calibrated on a person's own images by NNCF.

What comes of it is kept in the user's cache, a folder for each set of weights: the model, and a record of how it was
made and how far it agrees with float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import shutil
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from mseg_studio.errors import ConfigError
from mseg_studio.inference import cost
from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.openvino_model import converted
from mseg_studio.inference.openvino_runtime import core, multiplies_bfloat16, openvino, version
from mseg_studio.inference.preprocess import crop_of, normalised
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.image import read_image
from mseg_studio.networks.catalog import leftover_folder
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.progress import CancelToken, Progress, ProgressClock
from mseg_studio.settings import user_folder
from mseg_studio.storage import fsync_folder, sha256_file, write_atomic

Crop = npt.NDArray[np.float32]

_FORMAT = 1
_RECORD, _MODEL, _WEIGHTS = "record.yaml", "model.xml", "model.bin"
_CROPS_AN_IMAGE = 2
_HELD_OUT_SHARE = 4
"""Every fourth image is not calibrated on: the agreement is measured there."""


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """How a model was calibrated, and how good that is."""

    images: int
    """Images that were calibrated on."""
    crops: int
    held_out: int
    """Images that the agreement was measured on."""
    agreement: float
    """Share of equal labels with float32 on them, 0 to 1, before the labels are brought to full size."""
    date: str
    openvino: str
    nncf: str
    xml_sha256: str
    bin_sha256: str

    @property
    def id(self) -> str:
        """What a compiled model that was made from this calibration is known by."""
        return hashlib.sha256((self.xml_sha256 + self.bin_sha256).encode()).hexdigest()


def calibration_folder(source: NetworkSource) -> Path:
    """Where the calibration of a network lives; it need not exist."""
    return user_folder("cache") / "int8" / (source.weights_sha256[:32] or "none")


def read_record(source: NetworkSource) -> CalibrationRecord:
    """The record of a network's calibration. Raises ConfigError with the command that makes one."""
    path = calibration_folder(source) / _RECORD
    advice = f"`mseg-studio models calibrate {source.name or 'MODEL'} IMAGES` makes it"
    if not source.weights_sha256 or not path.is_file():
        raise ConfigError(f"model {source.name} is not calibrated for int8; {advice}")
    try:
        raw = read_yaml(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; {advice} again") from error
    kinds = typing.get_type_hints(CalibrationRecord)
    fits = isinstance(raw, dict) and all(isinstance(raw.get(name), kind) for name, kind in kinds.items())
    if not fits or raw.get("format") != _FORMAT:
        raise ConfigError(f"is no record of a calibration that this version reads; {advice} again", path=path)
    return CalibrationRecord(**{name: raw[name] for name in kinds})


def read_calibrated(source: NetworkSource) -> tuple[Any, CalibrationRecord]:
    """The int8 openvino.Model and its record. Raises ConfigError when there is none or it is damaged."""
    record, folder = read_record(source), calibration_folder(source)
    with contextlib.suppress(OSError):
        sums = (sha256_file(folder / _MODEL), sha256_file(folder / _WEIGHTS))
        if sums == (record.xml_sha256, record.bin_sha256):
            return core().read_model(folder / _MODEL), record
    raise ConfigError(f"is damaged; `mseg-studio models calibrate {source.name} IMAGES` makes it again", path=folder)


def calibrate(
    source: NetworkSource,
    recipe: Recipe,
    images: Sequence[Path],
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: CancelToken | None = None,
) -> CalibrationRecord:
    """Quantise a network on crops of `images`, measure it on those held out, keep it in the cache.

    `recipe` is resolved and says how images become crops. Raises ConfigError without OpenVINO or NNCF or with fewer
    than two images, ImageReadError, CheckpointError, OSError when it cannot be kept, Cancelled.
    """
    if not source.weights_sha256:
        raise ValueError("only weights with a hash can be calibrated")
    if len(images) < 2:
        raise ConfigError("int8 is calibrated on two images or more: one of them measures how good it is")
    nncf = _nncf()
    held_out, used = images[::_HELD_OUT_SHARE], [p for i, p in enumerate(images) if i % _HELD_OUT_SHARE]
    crops = [crop for path in used for crop in _crops(path, recipe, source)]
    clock, done = ProgressClock(len(crops) + len(held_out) * _CROPS_AN_IMAGE, "crops"), 0

    def step(crop: Crop) -> Crop:
        nonlocal done
        if cancel is not None:
            cancel.raise_if_cancelled()
        if on_progress is not None:
            on_progress(clock.at(done))
        done += 1
        return crop

    model = converted(source)
    with contextlib.redirect_stdout(io.StringIO()):  # NNCF draws bars of its own
        quantised = nncf.quantize(
            model, nncf.Dataset(crops, step), preset=nncf.QuantizationPreset.MIXED, subset_size=len(crops)
        )
    exact, small = _compiled(model, "f32"), _compiled(quantised, "bf16" if multiplies_bfloat16() else "f32")
    shares = [_agreement(exact, small, step(crop)) for path in held_out for crop in _crops(path, recipe, source)]
    return _keep(source, quantised, images=len(used), crops=len(crops), held_out=len(held_out), agreement=_mean(shares))


def _nncf() -> Any:
    """The module `nncf`, imported after OpenVINO has lost its telemetry. Raises ConfigError without it."""
    if importlib.util.find_spec("nncf") is None:
        raise ConfigError("int8 needs NNCF; `pip install mseg-studio[int8]` installs it")
    try:
        openvino()
    except ImportError as error:
        raise ConfigError("int8 needs OpenVINO; `pip install mseg-studio[int8]` installs it") from error
    nncf: Any = importlib.import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf


def _crops(path: Path, recipe: Recipe, source: NetworkSource) -> list[Crop]:
    """The first and the middle crop (1, 3, H, W) of an image at scale 1."""
    frame = read_image(path)
    size = cost.grid_sizes(dataclasses.replace(recipe, scales=(1.0,)), frame.height, frame.width)[0]
    tiling = cost.tiling_of(recipe, size, source.spec)
    image_3HW, windows = normalised(frame.pixels_HW3, *size), tiling.windows()
    chosen = dict.fromkeys((windows[0], windows[len(windows) // 2]))
    return [np.ascontiguousarray(crop_of(image_3HW, window, tiling)[None].numpy()) for window in chosen]


def _compiled(model: Any, precision: str) -> Any:
    return core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False})


def _agreement(exact: Any, small: Any, crop: Crop) -> float:
    labels = [compiled(crop)[0].argmax(-1) for compiled in (exact, small)]
    return float((labels[0] == labels[1]).mean())


def _mean(shares: list[float]) -> float:
    return sum(shares) / len(shares)


def _keep(source: NetworkSource, model: Any, **facts: Any) -> CalibrationRecord:
    """Write model and record at once in place of what was there. Raises OSError."""
    folder = calibration_folder(source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = leftover_folder(folder.parent)
    temporary.mkdir()
    try:
        openvino().save_model(model, temporary / _MODEL, compress_to_fp16=False)
        record = CalibrationRecord(
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            openvino=version(),
            nncf=importlib.metadata.version("nncf"),
            xml_sha256=sha256_file(temporary / _MODEL),
            bin_sha256=sha256_file(temporary / _WEIGHTS),
            **facts,
        )
        content = {"format": _FORMAT, "model": source.name, **dataclasses.asdict(record)}
        write_atomic(temporary / _RECORD, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
        if folder.exists():
            folder.replace(old := leftover_folder(folder.parent))
            shutil.rmtree(old, ignore_errors=True)
        temporary.replace(folder)
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return record
