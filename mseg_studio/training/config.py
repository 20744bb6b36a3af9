"""What a training run does, as one frozen value. Torch-free: the window and the launcher read it too."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from mseg_studio.datasets.ready import find_description
from mseg_studio.errors import ConfigError, nearest
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.storage import write_atomic

FORMAT = 1
Schedule = Literal["poly", "cosine", "plateau"]
Optimizer = Literal["sgd", "adamw"]
TrainPrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """The images and labels a run learns from and is judged by."""

    description: str
    """A dataset description (YAML): its path, relative to the configuration file or absolute, or a ready one's name."""
    root: str = ""
    """Folder that holds the data, where the description does not say it; relative to the configuration file."""
    name: str = "data"
    """Names the stream of random numbers: the order and changes of samples depend on it, not on where they lie."""
    train_split: str = "train"
    """Split that is trained on."""
    val_split: str = "val"
    """Split that chooses the best checkpoint."""
    leave_out: tuple[str, ...] = ()
    """Training images whose file name starts with one of these are left out, to score on them later."""
    classes: dict[str, str] = dataclasses.field(default_factory=dict)
    """Class of the dataset to class of the network's taxonomy; the head's rows are the latter, in this order.

    Empty: every class of the dataset that has one in the taxonomy, by the links of the catalog and the description.
    """

    @property
    def targets(self) -> tuple[str, ...]:
        """Classes of the network's taxonomy that are trained, one a row of the head; classes may share a row."""
        return tuple(dict.fromkeys(self.classes.values()))

    @property
    def row_names(self) -> tuple[str, ...]:
        """How metrics name the rows: as the dataset does, or as the taxonomy where classes share one."""
        return tuple(self.classes) if len(self.targets) == len(self.classes) else self.targets


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes of a sample: one affine warp to the crop, then colours. Probabilities are 0 to 1."""

    crop_px: int = 321
    """Side of the training crop in pixels; (side - 1) must divide by the network's size multiple."""
    short_side: int | None = None
    """Short side in pixels at scale 1; None takes images as they are."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest scale; the logarithm is uniform."""
    rotation_degrees: float = 10.0
    """Largest rotation to either side."""
    rotation_p: float = 0.5
    """Probability of a rotation."""
    flip_p: float = 0.5
    """Probability of a left-right flip."""
    blur_p: float = 0.5
    """Probability of a Gaussian blur."""
    blur_sigma: float = 1.5
    """Largest standard deviation of the blur in pixels."""
    colour_p: float = 0.0
    """Probability of a change of brightness, contrast, gamma, saturation and colour cast."""
    brightness: float = 0.15
    """Largest shift of brightness, as a share of the full range."""
    contrast: float = 0.3
    """Largest relative change of contrast."""
    gamma: float = 1.8
    """Largest gamma; the smallest is its inverse."""
    saturation: float = 0.4
    """Largest relative change of saturation."""
    colour_cast: float = 0.08
    """Largest relative gain of a single channel."""
    rare_p: float = 0.0
    """Probability that a crop is centred on a pixel of one of `rare_classes` (of those in the image, each alike)."""
    rare_classes: tuple[str, ...] = ()
    """Classes of the dataset that crops are centred on."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """What is minimised: cross entropy over labelled pixels, and a Lovasz term towards the end."""

    label_stride: int = 4
    """Pixels between the points where logits and labels are compared: 1, 2 or 4."""
    class_weight_power: float = 0.0
    """Weight of a class is its pixel share to minus this power (0: none, 0.5: inverse root), mean 1 over pixels."""
    class_weight_max: float = 4.0
    """Largest ratio of a class weight to the pixel-weighted mean weight."""
    lovasz_weight: float = 0.0
    """Weight of the Lovasz-softmax term (Berman et al. 2018) in the part of the schedule where the rate falls."""


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """How weights move."""

    optimizer: Optimizer = "sgd"
    """sgd (momentum 0.9) or adamw."""
    lr: float = 0.01
    """Highest learning rate."""
    weight_decay: float = 1e-4
    """Weight decay (decoupled in adamw)."""
    decay_norms: bool = True
    """Whether biases and norm weights decay too, as in the published recipe."""
    schedule: Schedule = "poly"
    """poly: (1 - t/T)^0.9; cosine: to zero; plateau: constant, then linearly to zero in the last `fall`."""
    fall: float = 0.4
    """Share of the steps at the end in which a plateau falls to zero, and in which the Lovasz term counts."""
    warmup_steps: int = 0
    """Steps in which the rate rises linearly from zero."""
    clip_norm: float | None = None
    """Largest norm of the gradient; None: not clipped."""
    norm_momentum: float = 0.01
    """Share of a batch in the running mean and variance of batch norm."""
    average_decay: float = 0.0
    """Decay per step of the running average of the weights that is validated and exported; 0: no average."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The whole of a run: two runs of one configuration give the same weights (one process, one thread)."""

    name: str
    """Name of the run and of the model that is exported from it."""
    dataset: DatasetConfig
    """What it learns from."""
    steps: int
    """Number of optimizer steps."""
    batch: int
    """Samples in a step, over all processes."""
    network: str = "hrnet-w18-small"
    """Name of a network in mseg_studio/networks."""
    taxonomy: str = "universal"
    """Taxonomy that the exported head speaks."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of a sample."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    optim: OptimConfig = OptimConfig()
    """How weights move."""
    precision: TrainPrecision = "float32"
    """float32, or bfloat16 for convolutions (weights, norms and loss stay float32)."""
    seed: int = 1
    """Seed of weights, order and augmentation."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 0
    """Threads of a process on the CPU; 0: torch chooses."""
    log_every: int = 10
    """Steps between lines of metrics."""
    validate_every: int = 500
    """Steps between validations; the last step always validates."""
    save_every: int = 200
    """Steps between checkpoints."""
    base_size: int = 360
    """Short side in pixels at which the exported model works best: goes into its card."""
    card_crop_px: int = 361
    """Sliding window of the exported model in pixels: goes into its card."""

    def __post_init__(self) -> None:
        _check(self)


MAY_CHANGE_ON_RESUME = frozenset({"steps", "device", "threads", "log_every", "validate_every", "save_every"})
"""Fields that a stopped run may be continued with another value of; all else would make it another run."""


def learning_rate(config: OptimConfig, *, step: int, steps: int) -> float:
    """Rate of step `step` (from 0) of `steps`: a function of the step alone."""
    rate = config.lr
    if step < config.warmup_steps:
        rate *= (step + 1) / config.warmup_steps
    if config.schedule == "poly":
        return float(rate * (1 - step / steps) ** 0.9)
    if config.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, (1 - step / steps) / config.fall)


def is_falling(config: OptimConfig, *, step: int, steps: int) -> bool:
    """Whether the step lies in the last part of the schedule, `fall` of it."""
    return (1 - step / steps) <= config.fall


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; paths in it are made absolute. Raises ConfigError naming the file and the key."""
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError("expected `key: value` lines", path=path)
    if raw.pop("format", FORMAT) != FORMAT:
        raise ConfigError(f"format is not {FORMAT}: written by a newer MSeg Studio", path=path)
    try:
        config = config_from_dict(raw)
    except ConfigError as error:
        raise ConfigError(error.reason, path=path) from error
    description = find_description(config.dataset.description, beside=path.parent).resolve()
    root = str((path.parent / config.dataset.root).resolve()) if config.dataset.root else ""
    dataset = dataclasses.replace(config.dataset, description=str(description), root=root)
    return dataclasses.replace(config, dataset=dataset)


def save_config(path: Path, config: TrainConfig) -> None:
    """Write every field, atomically. Raises OSError."""
    text = yaml.safe_dump({"format": FORMAT, **config_as_dict(config)}, sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def config_as_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain YAML values; tuples become lists."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(config))
    return plain


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """The configuration that `config_as_dict` gave. Raises ConfigError on unknown keys and wrong types."""
    config: TrainConfig = _build(TrainConfig, values, "")
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _build(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'configuration'} is {values!r}, expected `key: value` lines")
    hints = typing.get_type_hints(kind)
    built: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key '{where}{key}'{nearest(str(key), hints)}")
        built[key] = _convert(hints[key], value, f"{where}{key}")
    for field in dataclasses.fields(kind):
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.name not in built:
            raise ConfigError(f"key '{where}{field.name}' is missing")
    return kind(**built)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type: exact types only, but whole numbers serve as floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{where}.")
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}, expected {', '.join(arguments)}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f"{where} has {len(value)} values, expected {len(arguments)}")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {_convert(arguments[0], k, where): _convert(arguments[1], v, where) for k, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint and (hint is not float or math.isfinite(value)):
        return value
    raise ConfigError(f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}")


def _check(config: TrainConfig) -> None:
    """Raise ConfigError where a number makes no sense."""
    a, o = config.augment, config.optim
    rules: list[tuple[bool, str]] = [
        (config.steps >= 1 and config.batch >= 1, "steps and batch must be at least 1"),
        (min(config.log_every, config.validate_every, config.save_every) >= 1, "intervals must be at least 1 step"),
        (config.threads >= 0 and config.seed >= 0, "threads and seed must not be negative"),
        (not config.dataset.classes or 2 <= len(config.dataset.targets) <= 255,
         "dataset.classes must lead to 2 to 255 classes, or be left out for all that the taxonomy has"),
        (0.05 <= a.scale[0] <= a.scale[1] <= 16, "augment.scale must be two increasing numbers from 0.05 to 16"),
        (all(0 <= p <= 1 for p in (a.rotation_p, a.flip_p, a.blur_p, a.colour_p, a.rare_p)),
         "probabilities must lie in 0 to 1"),
        (a.crop_px >= 17, "augment.crop_px must be at least 17"),
        (a.gamma >= 1, "augment.gamma must be at least 1"),
        (not config.dataset.classes or all(name in config.dataset.classes for name in a.rare_classes),
         "augment.rare_classes must be names of dataset.classes"),
        (config.loss.label_stride in (1, 2, 4), "loss.label_stride must be 1, 2 or 4"),
        (o.lr > 0 and o.weight_decay >= 0, "optim.lr must be positive, weight_decay not negative"),
        (0 < o.fall <= 1, "optim.fall must lie in 0 to 1, 0 excluded"),
        (0 <= o.average_decay < 1 and 0 < o.norm_momentum <= 1, "optim: decays must lie in 0 to 1"),
    ]  # fmt: skip
    for holds, message in rules:
        if not holds:
            raise ConfigError(message)
