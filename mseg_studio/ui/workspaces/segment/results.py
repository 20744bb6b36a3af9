"""What the window remembers of frames that are not on screen: their labels and a measure of them, compressed."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PySide6.QtCore import QObject

from mseg_studio.labels.label_map import Ids, LabelMap, Mapping
from mseg_studio.labels.readout import Measure
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.bridges import Prediction, in_background
from mseg_studio.ui.canvas.layers import Pixels
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.items import FrameKey

BUDGET_BYTES = 512 * 2**20
"""Compressed label maps kept; the ones not looked at for longest go first. About 10,000 frames of 1080p."""
_AT_ONCE_PX = 4_000_000
"""Maps up to this size are unpacked in 10 ms or so; larger ones in the background."""


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """Labels of one frame under one choice, with what is known about them."""

    labels: LabelMap
    counts: tuple[tuple[ClassInfo, int], ...]
    sidecar: dict[str, Any]
    seconds: float
    network_ran: bool
    choice: Choice
    measure: Measure | None = None
    measure_HW: Pixels | None = None
    """The measure (H, W): 255 is 1; None when nothing was measured."""

    @property
    def unlabeled_share(self) -> float:
        """Share of pixels that are no class, 0 to 1."""
        return 1 - sum(pixels for _info, pixels in self.counts) / max(1, self.labels.ids_HW.size)


@dataclass(frozen=True, eq=False, slots=True)
class _Packed:
    ids: bytes
    shape: tuple[int, ...]
    taxonomy: Taxonomy
    mapping: Mapping
    counts: tuple[tuple[ClassInfo, int], ...]
    sidecar: dict[str, Any]
    seconds: float
    measure: Measure | None
    measured: bytes

    @property
    def size_bytes(self) -> int:
        """Memory it takes."""
        return len(self.ids) + len(self.measured)


class ResultStore:
    """Results by frame and choice, within a budget of memory."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._packed: OrderedDict[tuple[FrameKey, Choice], _Packed] = OrderedDict()
        self._budget_bytes = budget_bytes
        self._bytes = 0

    def put(self, key: FrameKey, choice: Choice, prediction: Prediction) -> Result:
        """Keep a prediction; gives it back as it will be read."""
        event = prediction.event
        labels = event.labels
        packed = _Packed(
            prediction.packed,
            labels.ids_HW.shape,
            labels.taxonomy,
            labels.mapping,
            prediction.counts,
            event.sidecar,
            event.seconds,
            event.readout.measure,
            prediction.packed_measure,
        )
        self._drop((key, choice))
        self._packed[key, choice] = packed
        self._bytes += packed.size_bytes
        while self._bytes > self._budget_bytes and len(self._packed) > 1:
            self._drop(next(iter(self._packed)))
        return Result(
            labels,
            prediction.counts,
            event.sidecar,
            event.seconds,
            event.network_ran,
            choice,
            event.readout.measure,
            event.measure_HW,
        )

    def recall(self, owner: QObject, key: FrameKey, choice: Choice, done: Callable[[FrameKey, Result], None]) -> None:
        """Call `done` with a result that is kept (KeyError when none is): at once, or from 4 megapixels on later."""
        packed = self._packed[key, choice]
        self._packed.move_to_end((key, choice))
        if packed.shape[0] * packed.shape[1] <= _AT_ONCE_PX:
            done(key, _unpacked(packed, choice))
        else:
            in_background(owner, lambda: _unpacked(packed, choice), lambda result: done(key, result))

    def has(self, key: FrameKey, choice: Choice) -> bool:
        """Whether a result is kept."""
        return (key, choice) in self._packed

    def measure_of(self, key: FrameKey, choice: Choice) -> Measure | None:
        """What is measured in the result that is kept, if anything."""
        packed = self._packed.get((key, choice))
        return None if packed is None else packed.measure

    def clear(self) -> None:
        """Forget everything: another source was opened."""
        self._packed.clear()
        self._bytes = 0

    def _drop(self, at: tuple[FrameKey, Choice]) -> None:
        old = self._packed.pop(at, None)
        if old is not None:
            self._bytes -= old.size_bytes


def _unpacked(packed: _Packed, choice: Choice) -> Result:
    ids_HW = np.frombuffer(zlib.decompress(packed.ids), packed.taxonomy.id_dtype).reshape(packed.shape)
    labels = LabelMap(cast(Ids, ids_HW), packed.taxonomy, packed.mapping)
    measure_HW = None
    if packed.measure is not None:
        measure_HW = np.frombuffer(zlib.decompress(packed.measured), np.uint8).reshape(packed.shape)
    return Result(
        labels,
        packed.counts,
        packed.sidecar,
        packed.seconds,
        network_ran=False,
        choice=choice,
        measure=packed.measure,
        measure_HW=measure_HW,
    )
