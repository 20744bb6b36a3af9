"""Runs of the network as the window sees them: what was asked, what is answered, what the process still knows.

Every answer is matched with what asked for it; late ones are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.events import (
    EngineReady,
    InferenceDied,
    InferenceFailed,
    ProbeReady,
    RequestCancelled,
    SegmentProgress,
)
from mseg_studio.labels.readout import Measure
from mseg_studio.media.frame import Frame
from mseg_studio.ui.bridges import DeviceFreed, InferenceBridge, Prediction
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.estimate import Estimate, Estimator, Learn, Predict
from mseg_studio.ui.workspaces.segment.items import FrameKey
from mseg_studio.ui.workspaces.segment.results import Result, ResultStore


@dataclass(frozen=True, slots=True)
class Ask:
    """A request on its way to labels."""

    key: FrameKey
    choice: Choice
    measure: Measure | None
    size: tuple[int, int]
    """Height and width."""
    is_run: bool
    """Whether the network runs; else the kept scores are projected."""


class Runs(QObject):
    """Asks the inference process and keeps its answers."""

    answered = Signal(object, object)
    """Ask and its Result."""
    failed = Signal(object, object)
    """Ask and the InferenceFailed."""
    cancelled = Signal(object)
    progressed = Signal(object)
    probed = Signal(object)
    engine_changed = Signal(object)
    came_up = Signal()
    died = Signal(str)

    def __init__(
        self, bridge: InferenceBridge, predict: Predict, learn: Learn, *, device: str, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._client = bridge.client
        self.device = device
        self.engine: EngineReady | None = None
        self.results = ResultStore()
        self.estimator = Estimator(predict, learn)
        self._asks: dict[int, Ask] = {}
        self._scores_of: tuple[FrameKey, Choice] | None = None
        bridge.happened.connect(self._on_event)

    # -- asking --------------------------------------------------------------------------------------------------

    def segment(self, frame: Frame, key: FrameKey, choice: Choice, measure: Measure | None) -> None:
        """Run the network on a frame; what was asked before is overtaken."""
        overtaken, self._asks = list(self._asks.values()), {}
        generation = self._client.segment(
            frame,
            model=choice.model,
            recipe=choice.full_recipe(self.device),
            target=choice.target,
            readout=choice.readout(measure),
        )
        self._asks[generation] = Ask(key, choice, measure, (frame.height, frame.width), is_run=True)
        self._scores_of = None
        for ask in overtaken:
            self.cancelled.emit(ask)

    def project(self, frame: Frame, key: FrameKey, choice: Choice, measure: Measure | None) -> None:
        """The scores that are kept, read as `choice` says; the frame must be the one they are of."""
        generation = self._client.project(choice.target, readout=choice.readout(measure))
        self._asks[generation] = Ask(key, choice, measure, (frame.height, frame.width), is_run=False)

    def probe(self, x: int, y: int, target: str) -> None:
        """Ask for the probabilities at a pixel of the frame whose scores are kept."""
        if not self._asks:
            self._client.probe(x, y, target=target)

    def forget(self, *, cancel: bool) -> list[Ask]:
        """Drop everything that was asked; gives it."""
        asks, self._asks = list(self._asks.values()), {}
        if asks and cancel:
            self._client.cancel()
        return asks

    def forget_scores(self) -> None:
        """Another source is open: results and scores are of pictures that are gone."""
        self.results.clear()
        self._scores_of = None

    def compare(self, choice: Choice) -> int:
        """The kept scores, projected and mapped; gives the generation of the ComparisonReady that answers."""
        return self._client.compare(choice.target, only=choice.only)

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the network runs or is about to."""
        return any(ask.is_run for ask in self._asks.values())

    def estimate(self, frame: Frame, choice: Choice) -> Estimate | None:
        """Cost of a run, None when the model is gone."""
        try:
            return self.estimator.estimate(choice.model, choice.full_recipe(self.device), frame.height, frame.width)
        except MSegStudioError:
            return None

    def is_running(self, key: FrameKey) -> bool:
        """Whether the network runs on this frame."""
        return any(ask.is_run and ask.key == key for ask in self._asks.values())

    def will_answer(self, key: FrameKey, choice: Choice) -> bool:
        """Whether something on its way leads to labels of `choice`."""
        return any(ask.key == key and ask.choice.same_run(choice) for ask in self._asks.values())

    def asked_for(self, key: FrameKey, choice: Choice, measure: Measure | None) -> bool:
        """Whether exactly this was asked for and is not answered yet."""
        return any((ask.key, ask.choice, ask.measure) == (key, choice, measure) for ask in self._asks.values())

    def holds_scores(self, key: FrameKey, choice: Choice) -> bool:
        """Whether the process keeps the scores of this frame under this model and recipe."""
        return self._scores_of is not None and self._scores_of[0] == key and self._scores_of[1].same_run(choice)

    # -- answers -------------------------------------------------------------------------------------------------

    def _on_event(self, event: object) -> None:
        match event:
            case Prediction():
                self._on_prediction(event)
            case SegmentProgress() if event.generation in self._asks:
                self.progressed.emit(event.progress)
            case ProbeReady():
                self.probed.emit(event)
            case InferenceFailed():
                ask = self._asks.pop(event.generation, None)
                if ask is not None:
                    self.failed.emit(ask, event)
            case RequestCancelled():
                ask = self._asks.pop(event.generation, None)
                if ask is not None:
                    self.cancelled.emit(ask)
            case EngineReady():
                self.engine = event
                self.engine_changed.emit(event)
                self.came_up.emit()
            case DeviceFreed():
                self._scores_of = None
            case InferenceDied():
                self.engine = self._scores_of = None
                self.estimator.forget_process()
                self.died.emit(event.message)
                self.engine_changed.emit(None)

    def _on_prediction(self, event: Prediction) -> None:
        ask = self._asks.pop(event.event.generation, None)
        if ask is None:
            return
        self._scores_of = (ask.key, ask.choice)
        result: Result = self.results.put(ask.key, ask.choice, event)
        if event.event.network_ran:
            recipe, told = ask.choice.full_recipe(self.device), event.event
            self.estimator.learn(ask.choice.model, recipe, *ask.size, seconds=told.seconds, facts=told.sidecar)
        self.answered.emit(ask, result)
