"""What the window remembers of frames that are not on screen: their labels, compressed, and how far each item is."""

from __future__ import annotations

import enum
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PySide6.QtCore import QObject

from mseg_studio.labels.label_map import Ids, LabelMap, Mapping
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.bridges import Prediction, in_background

BUDGET_BYTES = 512 * 2**20
"""Compressed label maps kept; the ones not looked at for longest go first. About 10,000 frames of 1080p."""
_AT_ONCE_PX = 4_000_000
"""Maps up to this size are unpacked in 10 ms or so; larger ones in the background."""


@dataclass(frozen=True, slots=True)
class FrameKey:
    """One picture: a file, and its place in it for videos."""

    path: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """What decides the labels of a picture, as chosen at the top of the window."""

    model: str
    recipe: str
    """Name of the preset."""
    target: str
    """Output taxonomy."""

    def same_run(self, other: Choice) -> bool:
        """Whether one run of the network answers both."""
        return (self.model, self.recipe) == (other.model, other.recipe)


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """Labels of one frame under one choice, with what is known about them."""

    labels: LabelMap
    counts: tuple[tuple[ClassInfo, int], ...]
    sidecar: dict[str, Any]
    seconds: float
    network_ran: bool
    choice: Choice


@dataclass(frozen=True, eq=False, slots=True)
class _Packed:
    ids: bytes
    shape: tuple[int, ...]
    taxonomy: Taxonomy
    mapping: Mapping
    counts: tuple[tuple[ClassInfo, int], ...]
    sidecar: dict[str, Any]
    seconds: float


class ItemState(enum.Enum):
    """How far a file or a frame is; the value is the word shown beside it."""

    NEW = ""
    RUNNING = "segmenting"
    PREDICTED = "predicted"
    EXPORTED = "exported"
    FAILED = "failed"


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
        )
        self._drop((key, choice))
        self._packed[key, choice] = packed
        self._bytes += len(packed.ids)
        while self._bytes > self._budget_bytes and len(self._packed) > 1:
            self._drop(next(iter(self._packed)))
        return Result(labels, prediction.counts, event.sidecar, event.seconds, event.network_ran, choice)

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

    def clear(self) -> None:
        """Forget everything: another source was opened."""
        self._packed.clear()
        self._bytes = 0

    def _drop(self, at: tuple[FrameKey, Choice]) -> None:
        old = self._packed.pop(at, None)
        if old is not None:
            self._bytes -= len(old.ids)


def _unpacked(packed: _Packed, choice: Choice) -> Result:
    ids_HW = np.frombuffer(zlib.decompress(packed.ids), packed.taxonomy.id_dtype).reshape(packed.shape)
    labels = LabelMap(cast(Ids, ids_HW), packed.taxonomy, packed.mapping)
    return Result(labels, packed.counts, packed.sidecar, packed.seconds, network_ran=False, choice=choice)
