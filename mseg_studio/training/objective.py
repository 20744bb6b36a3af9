"""What a training step minimises: one loss a dataset, in shares of the whole batch wherever its parts are computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mseg_studio.networks.sample_dropout import seed_dropout
from mseg_studio.training.banded_loss import banded_sums
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.losses import lovasz_softmax, pixel_weights

Groups = tuple[tuple[int, slice], ...]
"""Dataset (its place in `TrainConfig.trained`) of every run of samples in a part of a batch."""

_LEAST_WEIGHT = 1e-6


class Objective(nn.Module):
    """A network and its loss, to be wrapped as one: every parameter of the network has a part in the loss.

    The parts of a batch, whichever processes compute them, add up to the loss of the whole batch.
    """

    def __init__(self, network: nn.Module, config: TrainConfig, *, weights_C: Tensor | None = None) -> None:
        """`weights_C`: weight of every row of the head, None for 1 (`losses.class_weights`)."""
        super().__init__()
        self.network = network
        self._config = config
        self.weights_C: Tensor | None
        self.register_buffer("weights_C", weights_C, persistent=False)
        self._logits = _logits_of(network)
        if config.compile:
            self._logits = torch.compile(self._logits)

    def pixel_weight(self, labels_NHW: Tensor) -> Tensor:
        """What the pixels of a part weigh together, a scalar: the sum over all parts of a batch is `weight_total`."""
        weights_NHW = pixel_weights(self._compared(labels_NHW), self.weights_C)
        return weights_NHW.sum(dtype=torch.float32 if labels_NHW.device.type == "mps" else torch.float64)

    def seed_dropout(self, step: int, slots: Sequence[int]) -> None:
        """Say which samples of the batch (by slot) the next `forward` gets: their dropout follows from that alone."""
        seeds = [_sample_seed(self._config.seed, step, slot) for slot in slots]
        seed_dropout(self.network, seeds)

    def forward(
        self, images_NCHW: Tensor, labels_NHW: Tensor, groups: Groups, weight_total: Tensor, falling: bool
    ) -> Tensor:
        """Loss of every trained dataset (D,); their sum is this part's share of the batch's loss.

        Images are normalised, labels rows of the head or IGNORE in any integer type, `weight_total` is what all pixels
        of the whole batch weigh, `falling` whether the Lovasz term counts. A dataset's cross entropy is the sum over
        its pixels, by their weights, divided by `weight_total`, of both heads where there are two; its Lovasz term is
        the sum over its images divided by the samples of the whole batch. Where nothing is labelled both are 0.
        """
        config = self._config
        if config.channels_last:
            images_NCHW = images_NCHW.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images_NCHW.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = self._logits(images_NCHW)
        compared_NHW = self._compared(labels_NHW)
        weights_NHW = pixel_weights(compared_NHW, self.weights_C)
        total = weight_total.to(weights_NHW).clamp(min=_LEAST_WEIGHT)
        losses_N = banded_sums(logits[0].float(), compared_NHW, weights_NHW) / total
        for auxiliary in logits[1:]:
            sums_N = banded_sums(auxiliary.float(), compared_NHW, weights_NHW)
            losses_N = losses_N + config.loss.auxiliary_weight * (sums_N / total)
        if config.loss.lovasz_weight and falling:
            share = config.loss.lovasz_weight / config.batch
            losses_N = losses_N + share * _lovasz_by_image(logits[0].float(), labels_NHW)
        dataset_N = torch.zeros(len(images_NCHW), dtype=torch.long)
        for dataset, samples in groups:
            dataset_N[samples] = dataset
        losses_D = losses_N.new_zeros(len(config.trained))
        return losses_D.index_add(0, dataset_N.to(losses_N.device), losses_N)

    def _compared(self, labels_NHW: Tensor) -> Tensor:
        stride = self._config.loss.label_stride
        return labels_NHW[:, ::stride, ::stride].long()


def _logits_of(network: nn.Module) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Strided logits of all heads of a network, the main one first."""
    if hasattr(network, "training_logits"):
        both: Callable[[Tensor], tuple[Tensor, ...]] = network.training_logits  # type: ignore[assignment]
        return both
    main: Callable[[Tensor], Tensor] = network.strided_logits  # type: ignore[assignment]
    return lambda images_NCHW: (main(images_NCHW),)


def _lovasz_by_image(strided_NChw: Tensor, labels_NHW: Tensor) -> Tensor:
    """The Lovasz term (N,) of every image at the logits' points: the batch may lie on any number of processes."""
    step = (labels_NHW.shape[-1] - 1) // (strided_NChw.shape[-1] - 1)
    coarse_Nhw = labels_NHW[:, ::step, ::step].long()
    return torch.stack([lovasz_softmax(strided_NChw[n : n + 1], coarse_Nhw[n : n + 1]) for n in range(len(coarse_Nhw))])


def _sample_seed(seed: int, step: int, slot: int) -> int:
    digest = hashlib.sha256(f"{seed}/dropout/{step}/{slot}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
