"""One optimizer step over the whole batch, whichever processes and parts it is computed in."""

from __future__ import annotations

import contextlib
import importlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mseg_studio.training.augment import MEAN_RGB, STD_RGB
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.gradient_sum import GradientSum
from mseg_studio.training.loader import Part, StepBatch
from mseg_studio.training.mgda import combine_gradients
from mseg_studio.training.objective import Groups, Objective
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.schedule import is_falling, learning_rate


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step came to; the same in every process."""

    loss: float
    """Of the whole batch; not a finite number where the step was skipped for that."""
    by_dataset: tuple[float, ...]
    """Every trained dataset's own mean loss; NaN where nothing of it was labelled."""
    taken: bool
    """Whether the weights moved. If not, nothing did: a loss or gradient was no finite number in some process."""
    combined: tuple[float, ...] = ()
    """What the min-norm combination made the datasets weigh."""


class TrainStep:
    """Takes the steps of a run. Every process must take the same steps, with its own samples of each."""

    def __init__(
        self, objective: Objective, optimizer: torch.optim.Optimizer, config: TrainConfig, ranks: Ranks
    ) -> None:
        self._objective, self._optimizer, self._config, self._ranks = objective, optimizer, config, ranks
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        self._sum = GradientSum(self._parameters, ranks)
        self._dtype = self._parameters[0].dtype
        if config.compile and config.combine == "mgda":
            # One forward pass is gone back through once a dataset: the compiled one must not give its memory away.
            importlib.import_module("torch._functorch.config").donated_buffer = False  # type: ignore[attr-defined]

    def take(self, batch: StepBatch) -> StepOutcome:
        """Forward, backward, sum over processes, optimizer. Raises RankLost when another process is gone."""
        config, objective = self._config, self._objective
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(config.optim, step=batch.step, steps=config.steps)
        self._optimizer.zero_grad(set_to_none=True)
        objective.train()
        buffers = {name: buffer.clone() for name, buffer in objective.network.named_buffers()}
        weights_D = self._weights(batch)
        if config.combine == "mgda":
            losses_D, combined = self._gradients_by_dataset(batch, weights_D)
        else:
            losses_D, combined = self._gradients(batch, weights_D.sum()), ()
        losses = self._ranks.sum(losses_D.double().cpu())
        norm = self._norm()
        loss = losses.sum().item()
        taken = math.isfinite(loss) and math.isfinite(norm)
        # The sums have the same bits everywhere, so nobody can decide otherwise; asking costs next to nothing.
        if self._ranks.any(not taken):
            objective.network.load_state_dict(buffers, strict=False)  # the norms' statistics have seen the bad values
            self._optimizer.zero_grad(set_to_none=True)
            return StepOutcome(math.nan, (math.nan,) * len(losses), taken=False)
        if config.optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, config.optim.clip_norm)
        self._optimizer.step()
        shares = (weights_D / weights_D.sum().clamp(min=1e-12)).tolist()
        own = tuple(part / share if share else math.nan for part, share in zip(losses.tolist(), shares, strict=True))
        return StepOutcome(loss, own, taken=True, combined=combined)

    def _weights(self, batch: StepBatch) -> Tensor:
        """What the labelled pixels of every dataset weigh in the whole batch (D,), float64."""
        weights_D = torch.zeros(len(self._config.trained), dtype=torch.float64)
        for part in batch.parts:
            labels_NHW = _labels(part.labels_NHW)
            for dataset, samples in groups_of(part):
                labels = labels_NHW[samples].to(self._ranks.device)
                weights_D[dataset] += self._objective.pixel_weight(labels).double().cpu()
        return self._ranks.sum(weights_D)

    def _gradients(self, batch: StepBatch, weight_total: Tensor) -> Tensor:
        """Sum of the parts' losses (D,), and of all processes' gradients into `grad`."""
        total_D = torch.zeros(len(self._config.trained), device=self._ranks.device)
        for part in batch.parts:
            losses_D = self._losses(batch.step, part, weight_total)
            is_last = part is batch.parts[-1]
            with self._sum.during_backward() if is_last else contextlib.nullcontext():
                losses_D.sum().backward()  # type: ignore[no-untyped-call]
            total_D = total_D + losses_D.detach()
        return total_D

    def _gradients_by_dataset(self, batch: StepBatch, weights_D: Tensor) -> tuple[Tensor, tuple[float, ...]]:
        """The same with the min-norm combination of the datasets' gradients, and what each of them weighs in it."""
        datasets = len(self._config.trained)
        gradients = [[torch.zeros_like(p) for p in self._parameters] for _ in range(datasets)]
        total_D = torch.zeros(datasets, device=self._ranks.device)
        for part in batch.parts:
            losses_D = self._losses(batch.step, part, weights_D.sum())
            for dataset in range(datasets):
                # Also for a dataset that this part has nothing of: the other processes' norms wait for this one's.
                found = torch.autograd.grad(losses_D[dataset], self._parameters, retain_graph=dataset < datasets - 1)
                torch._foreach_add_(gradients[dataset], found)
            total_D = total_D + losses_D.detach()
        shares = (weights_D / weights_D.sum().clamp(min=1e-12)).tolist()
        summed = [self._sum.of(own) for own in gradients]
        if all(bool(torch.isfinite(gradient).all()) for own in summed for gradient in own):
            combined, joined = combine_gradients(summed, shares=shares)
        else:
            combined, joined = (), [torch.full_like(p, math.nan) for p in self._parameters]
        for parameter, gradient in zip(self._parameters, joined, strict=True):
            parameter.grad = gradient
        return total_D, combined

    def _losses(self, step: int, part: Part, weight_total: Tensor) -> Tensor:
        config, device = self._config, self._ranks.device
        images = normalised(torch.from_numpy(part.pixels_NHW3).to(device), self._dtype)
        labels = _labels(part.labels_NHW).to(device)
        falling = is_falling(config.optim, step=step, steps=config.steps)
        self._objective.seed_dropout(step, [draw.slot for draw in part.draws])
        losses_D: Tensor = self._objective(images, labels, groups_of(part), weight_total.to(device), falling)
        return losses_D

    def _norm(self) -> float:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return nn.utils.get_total_norm(gradients).item()


def groups_of(part: Part) -> Groups:
    """Runs of samples of one dataset: its place in `TrainConfig.trained`, and the samples."""
    groups: list[tuple[int, slice]] = []
    for place, draw in enumerate(part.draws):
        if groups and groups[-1][0] == draw.dataset:
            groups[-1] = (draw.dataset, slice(groups[-1][1].start, place + 1))
        else:
            groups.append((draw.dataset, slice(place, place + 1)))
    return tuple(groups)


def normalised(pixels_NHW3: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images (N, 3, H, W) as networks take them, from RGB bytes; channels last in memory."""
    mean, std = (torch.tensor(values, dtype=dtype, device=pixels_NHW3.device) for values in (MEAN_RGB, STD_RGB))
    return ((pixels_NHW3.to(dtype) - mean) / std).permute(0, 3, 1, 2)


def _labels(labels_NHW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Tensor:
    """As a tensor of a type that every device can index with."""
    if labels_NHW.dtype == np.uint8:
        return torch.from_numpy(labels_NHW)
    return torch.from_numpy(labels_NHW.astype(np.int32))
