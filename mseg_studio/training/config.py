"""What a training run does, as one frozen value. Torch-free: the window and the launcher read it too."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from mseg_studio.errors import ConfigError

Schedule = Literal["poly", "cosine", "plateau"]
Optimizer = Literal["sgd", "adamw"]
TrainPrecision = Literal["float32", "bfloat16"]
Head = Literal["all", "trained"]
Combine = Literal["sum", "mgda"]
Pipeline = Literal["affine", "published"]

RANDOM = "random"
"""The `start` of a run that begins with random weights."""


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """One dataset that a run learns from, is judged by, or both."""

    description: str
    """A dataset description (YAML): its path, relative to the configuration file or absolute, or a ready one's name."""
    root: str = ""
    """Folder that holds the data, where the description does not say it; relative to the configuration file."""
    name: str = "data"
    """Names the stream of random numbers and the dataset in the metrics: no two datasets of a run share one."""
    train_split: str = "train"
    """Split that is trained on; empty: only judged by."""
    val_split: str = "val"
    """Split that chooses the best checkpoint; empty: only trained on."""
    leave_out: tuple[str, ...] = ()
    """Training images whose file name starts with one of these are left out, to score on them later."""
    classes: dict[str, str] = dataclasses.field(default_factory=dict)
    """Class of the dataset to class of the network's taxonomy.

    Empty: every class of the dataset that has one in the taxonomy, by the links of the catalog and the description.
    """


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes of a sample. Probabilities are 0 to 1."""

    pipeline: Pipeline = "affine"
    """affine: one warp to the crop, then colours; published: the published code's steps in its order (MSeg)."""
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
    auxiliary_weight: float = 0.4
    """Weight of the auxiliary head's loss, in networks that have one (PSPNet)."""
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
    """The whole of a run: two runs of one configuration give the same weights."""

    name: str
    """Name of the run and of the model that is exported from it."""
    datasets: tuple[DatasetConfig, ...]
    """What it learns from, in equal parts, and what it is judged by."""
    steps: int
    """Number of optimizer steps."""
    batch: int
    """Samples in a step, over all datasets, processes and accumulated parts."""
    start: str = ""
    """Weights it begins with: random, an installed model's name, or a checkpoint file (a backbone or a whole network).

    There is no default: the choice decides the result more than most settings do.
    """
    network: str = "hrnet-w18-small"
    """Name of a network in mseg_studio/networks."""
    taxonomy: str = "universal"
    """Taxonomy that the exported head speaks."""
    head: Head = "trained"
    """Rows of the head while training: all classes of the taxonomy (as published), or those that the datasets have."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of a sample."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    optim: OptimConfig = OptimConfig()
    """How weights move."""
    combine: Combine = "sum"
    """How the datasets' gradients become one: their sum, or mgda, the point of least norm between them."""
    precision: TrainPrecision = "float32"
    """float32, or bfloat16 for convolutions (weights, norms and loss stay float32)."""
    channels_last: bool = True
    """Whether images and weights lie in memory with channels last: the fast layout nearly everywhere."""
    compile: bool = False
    """Whether torch.compile builds the network: faster steps on GPUs after minutes of building."""
    accumulate: int = 1
    """Parts that a process's share of a step is computed in, one after the other, to need less memory.

    The gradient is that of the whole batch; batch norm sees one part of every process at a time.
    """
    seed: int = 1
    """Seed of weights, order, augmentation and dropout."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 0
    """Threads of a process on the CPU; 0: the cores divided by the processes."""
    workers: int = 0
    """Threads of a process that make crops ahead of the network; 0: chosen by the cores."""
    log_every: int = 10
    """Steps between lines of metrics."""
    validate_every: int = 500
    """Steps between validations; the last step always validates."""
    validate_images: int = 0
    """Images of every dataset that a validation looks at, evenly spread over the split; 0: all."""
    save_every: int = 200
    """Steps between checkpoints."""
    keep: int = 2
    """Newest checkpoints that are kept beside the best one, at least 2."""
    samples: tuple[str, ...] = ()
    """Image files whose prediction is kept at every validation; empty: the first of each validation split."""
    base_size: int = 360
    """Short side in pixels at which the exported model works best: goes into its card."""
    card_crop_px: int = 361
    """Sliding window of the exported model in pixels: goes into its card."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def trained(self) -> tuple[DatasetConfig, ...]:
        """The datasets that are trained on, each with `batch / len(trained)` samples of a step."""
        return tuple(dataset for dataset in self.datasets if dataset.train_split)

    @property
    def validated(self) -> tuple[DatasetConfig, ...]:
        """The datasets that the run is judged by."""
        return tuple(dataset for dataset in self.datasets if dataset.val_split)


MAY_CHANGE_ON_RESUME = frozenset(
    {
        "steps", "device", "threads", "workers", "accumulate", "log_every", "validate_every", "validate_images",
        "save_every", "keep", "samples",
    }
)  # fmt: skip
"""Fields that a stopped run may be continued with another value of; all else would make it another run."""


def _check(config: TrainConfig) -> None:
    """Raise ConfigError where a number makes no sense."""
    a, o = config.augment, config.optim
    names = [dataset.name for dataset in config.datasets]
    trained = len(config.trained)
    known = {name for dataset in config.datasets for name in dataset.classes}
    all_named = all(dataset.classes for dataset in config.datasets)
    rules: list[tuple[bool, str]] = [
        (trained >= 1, "datasets: at least one must have a train_split"),
        (len(set(names)) == len(names), f"datasets: two are called '{_twice(names)}'; give each a name of its own"),
        (config.steps >= 1 and config.batch >= 1, "steps and batch must be at least 1"),
        (config.batch % max(trained, 1) == 0,
         f"batch {config.batch} is not divisible by the {trained} datasets that are trained on in equal parts"),
        (min(config.log_every, config.validate_every, config.save_every) >= 1, "intervals must be at least 1 step"),
        (config.keep >= 2, "keep must be at least 2: the newest checkpoint may turn out damaged"),
        (config.accumulate >= 1, "accumulate must be at least 1"),
        (min(config.threads, config.workers, config.seed, config.validate_images) >= 0,
         "threads, workers, seed and validate_images must not be negative"),
        (config.seed < 1 << 63, "seed must be below 2^63"),
        (config.base_size >= 1, "base_size must be at least 1"),
        (config.combine == "sum" or trained >= 2, "combine: mgda needs at least two datasets"),
        (0.05 <= a.scale[0] <= a.scale[1] <= 16, "augment.scale must be two increasing numbers from 0.05 to 16"),
        (all(0 <= p <= 1 for p in (a.rotation_p, a.flip_p, a.blur_p, a.colour_p, a.rare_p)),
         "probabilities must lie in 0 to 1"),
        (a.crop_px >= 17, "augment.crop_px must be at least 17"),
        (a.short_side is None or a.short_side >= 1, "augment.short_side must be at least 1, or null"),
        (a.gamma >= 1, "augment.gamma must be at least 1"),
        (a.blur_sigma >= 0, "augment.blur_sigma must not be negative"),
        (not all_named or known.issuperset(a.rare_classes),
         "augment.rare_classes must be names of the datasets' classes"),
        (config.loss.label_stride in (1, 2, 4), "loss.label_stride must be 1, 2 or 4"),
        (min(config.loss.auxiliary_weight, config.loss.lovasz_weight, config.loss.class_weight_power) >= 0,
         "loss: weights and class_weight_power must not be negative"),
        (config.loss.class_weight_max > 0, "loss.class_weight_max must be positive"),
        (o.lr > 0 and o.weight_decay >= 0, "optim.lr must be positive, weight_decay not negative"),
        (o.warmup_steps >= 0, "optim.warmup_steps must not be negative"),
        (o.clip_norm is None or o.clip_norm > 0, "optim.clip_norm must be positive, or null"),
        (0 < o.fall <= 1, "optim.fall must lie in 0 to 1, 0 excluded"),
        (0 <= o.average_decay < 1 and 0 < o.norm_momentum <= 1, "optim: decays must lie in 0 to 1"),
    ]  # fmt: skip
    for holds, message in rules:
        if not holds:
            raise ConfigError(message)


def _twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")
