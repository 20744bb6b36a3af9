"""Scores of an image on the CPU: the logits of every crop as the network gave them, before the last upsampling.

They are sixteen times smaller than the probabilities of a crop. Upsampling, softmax, the mean over mirror images, crops
and scales, resize, projection and argmax are one compiled pass over the rows of the image, and only where the answer
is not certain from the logits' winners (`kernels.grid_winner_rows`): mostly along the borders of things.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import kernels, label_kernels, measure_kernels
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.dense import Groups, check_source, class_ids_of, part_ids, unsure_ignored
from mseg_studio.inference.kept_memory import KeptMemory
from mseg_studio.inference.plan import Plan, resized
from mseg_studio.inference.row_threads import over_rows
from mseg_studio.labels import compiled
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.labels.readout import Measure, Reading, Readout
from mseg_studio.labels.score_map import DEFAULT_K, ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

_Winners = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
_KEPT_BYTES = 1 << 28
_MUCH = 0.02
"""Share of the grid pixels that is worth keeping all of them."""
_KINDS: dict[Measure, int] = {
    "confidence": measure_kernels.CONFIDENCE,
    "margin": measure_kernels.MARGIN,
    "entropy": measure_kernels.ENTROPY,
}


@dataclass(frozen=True, eq=False)
class StridedScores:
    """See `DenseScores`; `torch.get_num_threads()` threads share the rows."""

    logits_LC: torch.Tensor
    """float32 or bfloat16 (logit pixels of all crops, C), where `plan` says."""
    plan: Plan
    grid_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the grid of every scale."""
    height: int
    width: int
    cost: Cost
    memory: KeptMemory = field(default_factory=KeptMemory)
    """Where more memory comes from."""
    _asked: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    """Set by the first question for labels."""

    def __post_init__(self) -> None:
        if self.logits_LC.dtype not in (torch.float32, torch.bfloat16) or self.logits_LC.ndim != 2:
            came = f"{self.logits_LC.dtype} {tuple(self.logits_LC.shape)}"
            raise ValueError(f"logits are float32 or bfloat16 (pixels, C), got {came}")
        self.memory.used_by(self, self.logits_LC)

    @property
    def num_channels(self) -> int:
        """C: the model taxonomy's largest id + 1."""
        return self.logits_LC.shape[1]

    def labels(self, projection: Projection) -> LabelMap:
        """See `DenseScores.labels`."""
        check_source(projection.source, self.num_channels)
        groups = Groups.of(projection, self.num_channels)
        plan, targets_G, merges = self.plan, self._targets(groups), groups.merges
        # Who asks twice will ask again. Most frames are asked once: they are spared what is kept.
        if self._asked.is_set():
            plan = self._plan_with_all if self._misses_much(targets_G) else self._plan_with_kept
            targets_G, merges = self._targets_with_kept(targets_G, groups, plan), False
        self._asked.set()
        ids_HW = np.empty((self.height, self.width), np.uint16)
        known = (targets_G, self._winners[1], merges)
        arrays = (_wide(part_ids(projection)), *known, self._logits, plan, *groups.arrays)
        over_rows(lambda start, stop: label_kernels.label_rows(ids_HW, *arrays, start, stop), self.height)
        return LabelMap(as_ids(ids_HW, projection.target), projection.target)

    def read(self, projection: Projection, readout: Readout) -> Reading:
        """See `DenseScores.read`."""
        part = projection.only(readout.only) if readout.only else projection
        if readout.measure is None and readout.min_confidence == 0:
            return Reading(self.labels(part))
        check_source(part.source, self.num_channels)
        kind = _KINDS[readout.measure or "confidence"]
        ids_HW = np.empty((self.height, self.width), np.uint16)
        confidence_HW = np.empty_like(ids_HW)
        measure_HW = confidence_HW if kind == measure_kernels.CONFIDENCE else np.empty_like(ids_HW)
        groups = Groups.of(part, self.num_channels)
        arrays = (_wide(part_ids(part)), self._logits, self.plan, *groups.arrays, kind)
        place = (ids_HW, confidence_HW, measure_HW)
        over_rows(lambda start, stop: measure_kernels.read_rows(*place, *arrays, start, stop), self.height)
        unsure_ignored(ids_HW, confidence_HW, part.target, readout.min_confidence)
        labels = LabelMap(as_ids(ids_HW, part.target), part.target)
        return Reading(labels, measure_HW if readout.measure else None)

    def top_k(
        self, taxonomy: Taxonomy, *, k: int = DEFAULT_K, recipe_hash: str = "", model_sha256: str = ""
    ) -> ScoreMap:
        """See `DenseScores.top_k`."""
        check_source(taxonomy, self.num_channels)
        class_ids = _wide(class_ids_of(taxonomy))
        shape = (self.height, self.width, min(k, len(class_ids)))
        ids: Ids = np.empty(shape, taxonomy.id_dtype)
        values, residual = np.empty(shape, np.float16), np.empty(shape[:2], np.float16)
        arrays = (class_ids, self._logits, self.plan, *Groups.classes_of(taxonomy).arrays)

        def work(start: int, stop: int) -> None:
            rows = (np.empty((stop - start, *shape[1:]), np.uint16), np.empty((stop - start, *shape[1:]), np.float32))
            rest = np.empty((stop - start, shape[1]), np.float32)
            measure_kernels.top_k_rows(*rows, rest, *arrays, start, stop)
            ids[start:stop] = rows[0]
            for target, found in ((values, rows[1]), (residual, rest)):
                bits = target[start:stop].view(np.uint16)
                compiled.write_half(bits.reshape(-1, 1), found.reshape(-1, 1), 0, bits.size)

        over_rows(work, self.height)
        return ScoreMap(ids, values, residual, taxonomy, recipe_hash, model_sha256)

    def at_size(self, height: int, width: int) -> StridedScores:
        """See `DenseScores.at_size`."""
        plan = resized(self.plan, self.grid_sizes, height, width)
        return dataclasses.replace(self, plan=plan, height=height, width=width)

    def probe(self, x: int, y: int) -> npt.NDArray[np.float32]:
        """See `DenseScores.probe`."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ValueError(f"pixel ({x}, {y}) is outside {self.width} x {self.height}")
        out_C = np.empty(self.num_channels, np.float32)
        measure_kernels.probe_pixel(out_C, self._logits, self.plan, y, x)
        return out_C

    @property
    def _logits(self) -> kernels.Logits:
        if self.logits_LC.dtype == torch.bfloat16:
            bits: npt.NDArray[np.uint16] = self.logits_LC.view(torch.int16).numpy().view(np.uint16)
            return bits
        floats: npt.NDArray[np.float32] = self.logits_LC.numpy()
        return floats

    @functools.cached_property
    def _winners(self) -> _Winners:
        """The channel that certainly wins at every grid pixel, else -1, and its least probability.

        Computed once: most pixels need nothing else in any taxonomy.
        """
        logits = self._logits
        at_logits = (np.empty(len(logits), np.int32), np.empty(len(logits), np.float32))
        over_rows(lambda start, stop: kernels.logit_winner_rows(*at_logits, logits, start, stop), len(logits))
        pixels = sum(height * width for height, width in self.grid_sizes)
        winners = (np.empty(pixels, np.int32), np.empty(pixels, np.float32))
        self._over_grids(kernels.grid_winner_rows, *winners, *at_logits, self.plan)
        return winners

    @functools.cached_property
    def _plan_with_kept(self) -> Plan:
        """The plan with the probabilities of the grid pixels that most taxonomies need, as far as they are not many.

        A softmax is most of what a switch costs; these are computed once.
        """
        targets_G, least_G = self._winners
        marks_G = np.zeros(len(targets_G), np.uint8)
        work = functools.partial(label_kernels.mark_open_rows, marks_G, targets_G, least_G, self.plan)
        over_rows(work, self.height)
        return self._keep(np.flatnonzero(marks_G)[: self._room_for_kept])

    @functools.cached_property
    def _plan_with_all(self) -> Plan:
        """The plan with the probabilities of every grid pixel, if there is room for them."""
        pixels = len(self._winners[0])
        return self._keep(np.arange(pixels)) if pixels <= self._room_for_kept else self._plan_with_kept

    @property
    def _room_for_kept(self) -> int:
        return _KEPT_BYTES // (4 * self.num_channels)

    def _keep(self, wanted: npt.NDArray[np.intp]) -> Plan:
        """The plan with the probabilities of the grid pixels `wanted`, increasing numbers."""
        slots_G = np.full(len(self._winners[0]), -1, np.int32)
        slots_G[wanted] = np.arange(len(wanted))
        kept_SC = self.memory.take(len(wanted), self.num_channels, torch.float32, owner=self).numpy()
        self._over_grids(kernels.keep_rows, slots_G, kept_SC, self._logits, self.plan)
        return self.plan._replace(kept_slots=slots_G, kept_scores=kept_SC)

    def _over_grids(self, kernel: Callable[..., None], *arrays: Any) -> None:
        """Call `kernel(*arrays, first column, end column, start row, stop row)` for the rows of every scale's grid."""
        row = column = 0
        for height, width in self.grid_sizes:

            def work(start: int, stop: int, row: int = row, column: int = column, width: int = width) -> None:
                kernel(*arrays, column, column + width, row + start, row + stop)

            over_rows(work, height)
            row, column = row + height, column + width

    def _targets(self, groups: Groups) -> npt.NDArray[np.int32]:
        """The output channel of the channel that certainly wins at every grid pixel, else -1."""
        channels_G = self._winners[0]
        if groups.sets is None:
            return channels_G
        targets_G = groups.lookup(self.num_channels)[channels_G]
        targets_G[channels_G < 0] = -1
        return targets_G

    def _misses_much(self, targets_G: npt.NDArray[np.int32]) -> bool:
        """Whether a good part of the winners belongs to no class that takes part: what remains must be computed."""
        won = self._winners[0] >= 0
        return bool(np.count_nonzero(targets_G[won] < 0) > _MUCH * np.count_nonzero(won))

    def _targets_with_kept(self, known_G: npt.NDArray[np.int32], groups: Groups, plan: Plan) -> npt.NDArray[np.int32]:
        """The output channel that wins at every grid pixel, merged ones too; -1 where that is not known.

        Where probabilities are kept it is computed. So only pixels between different winners are left to be mixed.
        """
        least_G, targets_G = self._winners[1], known_G.copy()
        if groups.merges:
            targets_G[least_G <= label_kernels.SURE] = -1
        places = np.flatnonzero(plan.kept_slots >= 0).astype(np.int32)
        arrays = (targets_G, places, plan.kept_scores, *groups.arrays)
        over_rows(lambda start, stop: kernels.kept_target_rows(*arrays, start, stop), len(places))
        return targets_G


def _wide(ids: Ids) -> npt.NDArray[np.uint16]:
    """One type for all taxonomies: the passes are compiled once."""
    return ids.astype(np.uint16)
