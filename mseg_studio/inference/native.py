"""From the grids of all scales to native size: labels and top-k scores, compiled on the CPU, plain torch elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import kernels, plain
from mseg_studio.inference.row_threads import over_rows
from mseg_studio.inference.tiling import Taps, half_pixel_taps
from mseg_studio.labels.label_map import Ids

_PLAIN_BAND_PX = 1 << 16

Channels = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Which source channels are summed into which output channel; `sets` None leaves channels as they are."""

    sets: Sequence[npt.NDArray[np.intp]] | None

    @property
    def arrays(self) -> tuple[Channels, Channels]:
        """(members, ends) for the compiled passes; see `kernels.label_rows`."""
        if self.sets is None:
            return np.zeros(0, np.int32), np.zeros(1, np.int32)
        ends = np.cumsum([0, *(len(members) for members in self.sets)])
        return np.concatenate(self.sets).astype(np.int32), ends.astype(np.int32)

    def lookup(self, channels: int) -> Channels:
        """(channels,): the output channel of a source channel, -1 for none."""
        lookup = np.full(channels, -1, np.int32)
        for target, members in enumerate(self.sets or ()):
            lookup[members] = target
        return lookup

    def apply(self, scores_HWC: torch.Tensor) -> torch.Tensor:
        """(..., C) to (..., K) by plain torch."""
        if self.sets is None:
            return scores_HWC
        matrix = torch.zeros((scores_HWC.shape[-1], len(self.sets)))
        for target, members in enumerate(self.sets):
            matrix[torch.from_numpy(members), target] = 1
        return scores_HWC @ matrix.to(scores_HWC.device)


@dataclass(frozen=True, eq=False, slots=True)
class Resize:
    """The resize of all grids to the image's own size."""

    grid_sizes: tuple[tuple[int, int], ...]
    height: int
    width: int

    def row_taps(self) -> list[Taps]:
        """Taps of the native rows for every scale."""
        return [half_pixel_taps(height, self.height) for height, _ in self.grid_sizes]

    def column_taps(self) -> list[Taps]:
        """Taps of the native columns for every scale."""
        return [half_pixel_taps(width, self.width) for _, width in self.grid_sizes]

    def arrays(self) -> tuple[npt.NDArray[np.int32] | npt.NDArray[np.float32], ...]:
        """firsts, widths, row taps and column taps for the compiled passes; see `kernels.label_rows`."""
        rows, columns = self.row_taps(), self.column_taps()
        widths = np.array([width for _, width in self.grid_sizes], np.int32)
        pixels = np.array([height * width for height, width in self.grid_sizes])
        line_starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int32)[:, None]
        return (
            np.concatenate([[0], np.cumsum(pixels)[:-1]]).astype(np.int32),
            widths,
            np.stack([taps.low for taps in rows]),
            np.stack([taps.high for taps in rows]),
            np.stack([taps.weight for taps in rows]),
            np.stack([taps.low for taps in columns]) + line_starts,
            np.stack([taps.high for taps in columns]) + line_starts,
            np.stack([taps.weight for taps in columns]),
        )

    def plain_bands(self, probabilities_PC: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Native rows and their scores (rows, W, C) by plain torch, a band at a time."""
        rows, columns = self.row_taps(), self.column_taps()
        grids = [grid_of(probabilities_PC, self.grid_sizes, index) for index in range(len(self.grid_sizes))]
        step = max(1, _PLAIN_BAND_PX // self.width)
        for start in range(0, self.height, step):
            band = slice(start, min(start + step, self.height))
            taps = [part.part(band.start, band.stop) for part in rows]
            yield band, plain.native_scores(grids, taps, columns)


@dataclass(frozen=True, eq=False, slots=True)
class Winners:
    """The most probable channel of every grid pixel, and whether it has more than half of the probability."""

    channels_P: npt.NDArray[np.int32]
    sure_P: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities_PC: npt.NDArray[np.float32]) -> Winners:
        """One pass over all scores."""
        channels = np.empty(len(probabilities_PC), np.int32)
        sure = np.empty(len(channels), np.bool_)
        over_rows(lambda start, stop: kernels.winner_rows(channels, sure, probabilities_PC, start, stop), len(channels))
        return cls(channels, sure)

    def grouped(self, probabilities_PC: npt.NDArray[np.float32], groups: Groups) -> npt.NDArray[np.int32]:
        """The best output channel of every grid pixel."""
        if groups.sets is None:
            return self.channels_P
        targets = np.empty_like(self.channels_P)
        known = (self.channels_P, self.sure_P, probabilities_PC, groups.lookup(probabilities_PC.shape[1]))
        arrays = groups.arrays

        def work(start: int, stop: int) -> None:
            kernels.target_winner_rows(targets, *known, *arrays, start, stop)

        over_rows(work, len(targets))
        return targets


def write_labels(
    ids_HW: Ids,
    class_ids: Ids,
    probabilities_PC: npt.NDArray[np.float32],
    winners: Winners,
    groups: Groups,
    resize: Resize,
) -> None:
    """Compiled: the class of every native pixel into `ids_HW`; output channel k is written as `class_ids[k]`."""
    targets = winners.grouped(probabilities_PC, groups)
    arrays = (*groups.arrays, *resize.arrays())

    def work(start: int, stop: int) -> None:
        kernels.label_rows(ids_HW, class_ids, targets, probabilities_PC, *arrays, start, stop)

    over_rows(work, resize.height)


def write_top_k(
    ids_HWk: Ids,
    values_HWk: npt.NDArray[np.float16],
    residual_HW: npt.NDArray[np.float16],
    class_ids: Ids,
    probabilities_PC: npt.NDArray[np.float32],
    groups: Groups,
    resize: Resize,
) -> None:
    """Compiled: the k largest of every native pixel, descending, and the sum of all others."""
    arrays = (probabilities_PC, *groups.arrays, *resize.arrays())

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        values = np.empty(values_HWk[rows].shape, np.float32)
        residual = np.empty(residual_HW[rows].shape, np.float32)
        kernels.top_k_rows(ids_HWk[rows], values, residual, class_ids, *arrays, start, stop)
        values_HWk[rows] = values
        residual_HW[rows] = residual

    over_rows(work, resize.height)


def grid_of(probabilities_PC: torch.Tensor, sizes: tuple[tuple[int, int], ...], index: int) -> torch.Tensor:
    """Grid (h, w, C) of one scale: a view."""
    first = sum(height * width for height, width in sizes[:index])
    height, width = sizes[index]
    return probabilities_PC[first : first + height * width].view(height, width, -1)
