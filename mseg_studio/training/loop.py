"""The training loop of one process. It writes the run folder and knows nothing of who watches."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mseg_studio.discovery import discover
from mseg_studio.errors import CheckpointError, ConfigError, RunFailed, nearest
from mseg_studio.inference.devices import resolve_device
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.training.augment import MEAN_RGB, STD_RGB, augment
from mseg_studio.training.average import WeightAverage
from mseg_studio.training.banded_loss import banded_cross_entropy
from mseg_studio.training.checkpoint import RunState, load_newest, save_checkpoint
from mseg_studio.training.config import MAY_CHANGE_ON_RESUME, TrainConfig
from mseg_studio.training.config_file import config_as_dict, config_from_dict
from mseg_studio.training.data import Sample, SampleSet, load_samples
from mseg_studio.training.head import Head, head_of, resolved
from mseg_studio.training.losses import class_weights, lovasz_softmax
from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.optim import build_optimizer, load_optimizer, optimizer_tensors
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.sampler import batch_draws, draw_index, draw_random
from mseg_studio.training.schedule import is_falling, learning_rate
from mseg_studio.training.validation import validate

MAX_BAD_STEPS = 10
"""Steps in a row with a loss or gradient that is no number, after which the run gives up."""


class TrainLoop:
    """One run in one process on one device: build or resume, then `run`.

    `step` and `best` say how far it is, also after `run` raised.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig, *, log: MetricsLog) -> None:
        """Load the data and the newest checkpoint.

        Raises ConfigError, DatasetError, and CheckpointError when there are checkpoints and none verifies.
        """
        config = resolved(config)
        self._head = head_of(config)
        self._dataset = config.trained[0]
        self._folder, self._config, self._log = folder, config, log
        self.device = resolve_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        train, val = self._dataset, config.validated[0]
        self._train = load_samples(train, self._head, split=train.train_split, leave_out=train.leave_out)
        self._val = load_samples(val, self._head, split=val.val_split)
        self._rare_ids = [self._head.rows.index(train.classes[name]) for name in config.augment.rare_classes]
        self._network = _build_network(config, self._head).to(self.device)
        self._optimizer = build_optimizer(self._network, config.optim)
        self._average = WeightAverage(self._network, decay=config.optim.average_decay)
        self._weights_C = _loss_weights(config, self._head, self._train, self.device)
        self.step = 0
        self.best: dict[str, Any] | None = None
        self._validated_step = 0
        self._bad_steps = 0
        self._resume()

    def run(self, stop: CancelToken) -> bool:
        """Train to the last step (True), or save and come back after the step in which `stop` is set (False).

        Raises RunFailed when the loss stays non-finite, OSError when the folder cannot be written.
        """
        if not self._validate_if_due(stop):
            return False
        mark_step, mark_time, losses = self.step, time.monotonic(), []
        while self.step < self._config.steps:
            if stop.cancelled:
                self._save()
                return False
            losses.append(self._train_step())
            self.step += 1
            if self._is_due(self._config.log_every):
                now = time.monotonic()
                rate = (self.step - mark_step) * self._config.batch / max(now - mark_time, 1e-9)
                self._write("step", loss=_mean(losses), lr=self._rate(self.step - 1), images_per_s=round(rate, 2))
                mark_step, mark_time, losses = self.step, now, []
            before = time.monotonic()
            if not self._validate_if_due(stop):
                return False
            if self._is_due(self._config.save_every):
                self._save()
            mark_time += time.monotonic() - before
        return True

    def _train_step(self) -> float:
        """One optimizer step; a non-finite one is skipped. Returns its loss."""
        images_NCHW, labels_NHW = self._batch()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(self.step)
        self._optimizer.zero_grad(set_to_none=True)
        self._network.train()
        buffers = {name: buffer.clone() for name, buffer in self._network.named_buffers()}
        loss = self._loss(images_NCHW.to(self.device), labels_NHW.to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._config.optim.clip_norm or math.inf)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            self._bad_steps += 1
            self._network.load_state_dict(buffers, strict=False)  # the norms' statistics have seen the bad values
            if self._bad_steps >= MAX_BAD_STEPS:
                names = [self._train.samples[index].name for index in self._indices()]
                raise RunFailed(f"the loss was no number in {MAX_BAD_STEPS} steps in a row; last with {names}")
            return math.nan
        self._bad_steps = 0
        self._optimizer.step()
        self._average.update(self._network, step=self.step)
        return loss.item()

    def _loss(self, images_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
        config = self._config
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            strided = self._network.strided_logits(images_NCHW)  # type: ignore[operator]
        strided = strided.float()
        stride = config.loss.label_stride
        coarse = labels_NHW[:, ::stride, ::stride]
        loss = banded_cross_entropy(strided, coarse, self._weights_C)
        if config.loss.lovasz_weight and is_falling(config.optim, step=self.step, steps=config.steps):
            step = (labels_NHW.shape[-1] - 1) // (strided.shape[-1] - 1)
            loss = loss + config.loss.lovasz_weight * lovasz_softmax(strided, labels_NHW[:, ::step, ::step])
        return loss

    def _indices(self) -> list[int]:
        config, size = self._config, len(self._train.samples)
        return [draw_index(config.seed, self._dataset.name, n=n, size=size) for n in self._draws()]

    def _draws(self) -> range:
        return batch_draws(self.step, self._config.batch)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, crop, crop), channels last, and labels (N, crop, crop) int64 of this step."""
        config = self._config
        pixels, labels = [], []
        for n, index in zip(self._draws(), self._indices(), strict=True):
            crop = self._crop(self._train.samples[index], draw_random(config.seed, self._dataset.name, n=n))
            pixels.append(crop[0])
            labels.append(crop[1])
        return normalised(np.stack(pixels)), torch.from_numpy(np.stack(labels)).long()

    def _crop(self, sample: Sample, random: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        return augment(
            sample.pixels_HW3, sample.labels_HW, config=self._config.augment, rare_ids=self._rare_ids, random=random
        )

    def _is_due(self, every: int) -> bool:
        """Whether what happens every so many steps happens after this one; everything happens after the last."""
        return self.step > 0 and (self.step % every == 0 or self.step == self._config.steps)

    def _validate_if_due(self, stop: CancelToken) -> bool:
        """Validate once after a step that asks for it. False when `stop` cut it short: saved, done again on resume."""
        if not self._is_due(self._config.validate_every) or self._validated_step == self.step:
            return True
        try:
            self._validate(stop)
        except Cancelled:
            self._save()
            return False
        return True

    def _validate(self, stop: CancelToken) -> None:
        head, precision = self._head.as_taxonomy, self._config.precision
        with self._average.applied(self._network):
            result = validate(self._network, self._val, head=head, precision=precision, device=self.device, stop=stop)
        self._validated_step = self.step
        iou = {name: round(value, 5) for name, value in result.iou.items()}
        self._write("validation", miou=round(result.miou, 5), iou=iou)
        if self.best is None or result.miou > self.best["miou"]:
            self.best = {"miou": round(result.miou, 5), "step": self.step, "checkpoint": "best"}
            self._save(name="best")

    def _save(self, *, name: str | None = None) -> None:
        save_checkpoint(self._folder.checkpoints, self._state(), name=name)
        if name is None:
            self._write("save")

    def _state(self) -> RunState:
        return RunState(
            step=self.step,
            network=dict(self._network.state_dict()),
            average=self._average.state(),
            optimizer=optimizer_tensors(self._network, self._optimizer),
            best=self.best,
            config=config_as_dict(self._config),
            data_sha256=self._train.sha256,
            validated_step=self._validated_step,
        )

    def _resume(self) -> None:
        """Continue from the newest checkpoint that verifies; a fresh folder starts at step 0."""
        state, complaints = load_newest(self._folder.checkpoints)
        if state is None:
            if complaints:
                raise CheckpointError(f"no checkpoint verifies: {'; '.join(complaints)}", path=self._folder.path)
            return
        _check_same_run(state, self._config, self._train)
        self._network.load_state_dict(state.network)
        load_optimizer(self._network, self._optimizer, state.optimizer)
        self._average.load(state.average)
        self.step, self.best, self._validated_step = state.step, state.best, state.validated_step
        self._write("resume", complaints=complaints)

    def _rate(self, step: int) -> float:
        return learning_rate(self._config.optim, step=step, steps=self._config.steps)

    def _write(self, event: str, **values: Any) -> None:
        self._log.append({"event": event, "step": self.step, "time": round(time.time(), 3), **values})


def normalised(pixels_NHW3: npt.NDArray[np.uint8]) -> Tensor:
    """Images (N, 3, H, W) float32 as networks take them, channels last in memory."""
    images = torch.from_numpy(pixels_NHW3).float()
    images = (images - torch.tensor(MEAN_RGB)) / torch.tensor(STD_RGB)
    return images.permute(0, 3, 1, 2)


def find_network(name: str) -> NetworkSpec:
    """The network called `name`. Raises ConfigError with the nearest names."""
    networks = discover("mseg_studio.networks", "NETWORK")
    if name not in networks:
        raise ConfigError(f"unknown network '{name}'{nearest(name, networks)}")
    spec: NetworkSpec = networks[name]
    return spec


def _build_network(config: TrainConfig, head: Head) -> nn.Module:
    """Random weights from the seed, one row of the head a class, channels last: the fast layout on CPUs."""
    spec = find_network(config.network)
    try:
        spec.check_crop(config.augment.crop_px)
        spec.check_crop(config.card_crop_px)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    torch.manual_seed(config.seed)
    network: nn.Module = spec.build(len(head.rows)).to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = config.optim.norm_momentum
    return network


def _loss_weights(config: TrainConfig, head: Head, data: SampleSet, device: torch.device) -> Tensor | None:
    if config.loss.class_weight_power == 0:
        return None
    pixels = torch.from_numpy(data.pixels_of_classes(len(head.rows)))
    weights = class_weights(pixels, power=config.loss.class_weight_power, largest=config.loss.class_weight_max)
    return weights.to(device)


def _check_same_run(state: RunState, config: TrainConfig, data: SampleSet) -> None:
    """Raise ConfigError when the checkpoint belongs to another configuration or other data."""
    now, then = config_as_dict(config), config_as_dict(config_from_dict(state.config))
    for values in (now, then):
        for dataset in values["datasets"]:
            dataset["description"] = ""  # the data may move: their hash says whether they are the same
    changed = [key for key in now if key not in MAY_CHANGE_ON_RESUME and now[key] != then[key]]
    if changed:
        raise ConfigError(f"{', '.join(changed)} changed since the last checkpoint; start a new run for that")
    if state.data_sha256 != data.sha256:
        raise ConfigError("the training images or labels changed since the last checkpoint")


def _mean(losses: list[float]) -> float | None:
    finite = [loss for loss in losses if math.isfinite(loss)]
    return round(sum(finite) / len(finite), 5) if finite else None
