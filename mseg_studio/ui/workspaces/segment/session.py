"""The state of the Segment workspace: what is open, what is chosen, what is known. Views subscribe to its signals.

No widget is touched here. Every answer of a worker is matched with what asked for it; late ones are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

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
from mseg_studio.inference.recipe import preset
from mseg_studio.media.events import MediaDied, MediaFailed, Opened, SourceInfo, ThumbnailReady
from mseg_studio.progress import Progress
from mseg_studio.ui.bridges import Prediction, ShownFrame
from mseg_studio.ui.services import Services
from mseg_studio.ui.workspaces.segment.batch import BatchRun
from mseg_studio.ui.workspaces.segment.estimate import Estimate, Estimator
from mseg_studio.ui.workspaces.segment.results import Choice, FrameKey, ItemState, Result, ResultStore

AUTO_SECONDS = 5.0
"""A frame that costs less is segmented as soon as it is shown."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the person, shown over the canvas until it is closed or settled."""

    text: str
    kind: Literal["error", "warning", "info"] = "error"
    about: str = ""
    """What it is about; a later notice with the same word replaces it, an empty text takes it away."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request to the inference process on its way."""

    key: FrameKey
    choice: Choice
    size: tuple[int, int]
    is_run: bool


class Session(QObject):
    """See the module's text."""

    source_changed = Signal(object)
    """SourceInfo or None."""
    moved = Signal(int)
    """The item that is asked for; its picture follows with `frame_changed`."""
    frame_changed = Signal(object)
    """ShownFrame or None."""
    result_changed = Signal(object)
    """Result of the frame on screen or None."""
    settled = Signal()
    """Nothing more will come for the frame on screen until somebody asks."""
    item_changed = Signal(int)
    choice_changed = Signal()
    progress_changed = Signal(object)
    """Progress of what runs, None when nothing does."""
    notice = Signal(object)
    engine_changed = Signal(object)
    """EngineReady, or None while the process is not up."""
    probed = Signal(object)
    thumbnail_ready = Signal(object)

    def __init__(self, services: Services, choice: Choice, *, device: str = "auto") -> None:
        super().__init__()
        self._services = services
        self.device = device
        self.choice = choice
        self.source: SourceInfo | None = None
        self.index = 0
        self.shown: ShownFrame | None = None
        self.result: Result | None = None
        self.engine: EngineReady | None = None
        self.results = ResultStore()
        self.estimator = Estimator(services.predict)
        self.batch: BatchRun | None = None
        self.auto_seconds = AUTO_SECONDS
        self._opening: int | None = None
        self._frame_request: int | None = None
        self._batch_request: tuple[int, int] | None = None
        self._rows: dict[str, int] = {}
        self._asks: dict[int, _Ask] = {}
        self._scores_of: tuple[FrameKey, Choice] | None = None
        self._failed: dict[int, str] = {}
        self._exported: set[int] = set()
        services.media.happened.connect(self._on_media)
        services.inference.happened.connect(self._on_inference)

    # -- opening and moving --------------------------------------------------------------------------------------

    def open(self, path: str) -> None:
        """Open an image, folder, video or camera; what is open stays until the new source is there."""
        self._say("", about="open")
        self._opening = self._services.media.client.open(path)

    def open_images(self, paths: tuple[str, ...]) -> None:
        """Open these image files as one list."""
        self._opening = None
        self._use_source(SourceInfo("folder", str(Path(paths[0]).parent), paths))

    def go(self, index: int) -> None:
        """Show item `index`; out of range is brought into it."""
        if self.source is None or not self.source.count:
            return
        self.index = min(max(index, 0), self.source.count - 1)
        self._frame_request = self._ask_frame(self.index)
        self.moved.emit(self.index)

    def key_of(self, index: int) -> FrameKey:
        """What results of an item are kept under."""
        if self.source is None:
            raise ValueError("no source is open")
        return FrameKey(self.source.items[index]) if self.source.items else FrameKey(self.source.path, index)

    def state_of(self, index: int) -> tuple[ItemState, str]:
        """State of an item, and why it failed."""
        if index in self._failed:
            return ItemState.FAILED, self._failed[index]
        key = self.key_of(index)
        if any(ask.is_run and ask.key == key for ask in self._asks.values()):
            return ItemState.RUNNING, ""
        if index in self._exported:
            return ItemState.EXPORTED, ""
        return (ItemState.PREDICTED if self.results.has(key, self.choice) else ItemState.NEW), ""

    def mark_exported(self, index: int) -> None:
        """The labels of an item were written."""
        self._exported.add(index)
        self.item_changed.emit(index)

    # -- choosing and running ------------------------------------------------------------------------------------

    def choose(self, *, model: str | None = None, recipe: str | None = None, target: str | None = None) -> None:
        """Choose another model, recipe or output taxonomy for what is shown next and now."""
        old = self.choice
        self.choice = Choice(model or old.model, recipe or old.recipe, target or old.target)
        if self.choice == old:
            return
        self._stop_batch()
        self._failed.clear()
        self._exported.clear()
        self.choice_changed.emit()
        if self.shown is not None:
            self._settle()

    def run(self) -> None:
        """Segment the frame on screen."""
        if self.shown is None:
            return
        self._segment(self.shown, self.key_of(self.index))

    def run_all(self) -> None:
        """Segment every item that has no result yet."""
        if self.source is None or self.source.count < 2 or self.batch is not None:
            return
        self._forget_asks(cancel=True)
        self.batch = BatchRun(self.source.count, done=[i for i in range(self.source.count) if self._is_done(i)])
        self._next_of_batch()

    def cancel(self) -> None:
        """Stop everything that runs, at once for the window; late answers are dropped."""
        self._stop_batch()
        self._forget_asks(cancel=True)
        self.settled.emit()

    def can_probe(self) -> bool:
        """Whether the process holds the scores of the frame on screen, or soon will."""
        return self._holds_scores() or any(ask.key == self.key_of(self.index) for ask in self._asks.values())

    def probe(self, x: int, y: int) -> None:
        """Ask for the probabilities at a pixel, when the process holds them."""
        if self._holds_scores() and not self._asks:
            self._services.inference.client.probe(x, y)

    def has_labels(self, index: int) -> bool:
        """Whether an item has labels under the present choice."""
        return self.results.has(self.key_of(index), self.choice)

    def estimate(self) -> Estimate | None:
        """Cost of a run of the frame on screen, None when nothing is shown or the model is gone."""
        if self.shown is None:
            return None
        frame = self.shown.frame
        try:
            return self.estimator.estimate(self.choice.model, self.choice.recipe, frame.height, frame.width)
        except MSegStudioError:
            return None

    @property
    def running(self) -> bool:
        """Whether a run of the network or a batch is under way."""
        return self.batch is not None or any(ask.is_run for ask in self._asks.values())

    def runs_by_itself(self) -> bool:
        """Whether showing a frame is enough to have it segmented."""
        estimate = self.estimate()
        return estimate is not None and estimate.seconds <= self.auto_seconds

    # -- answers of the media process ----------------------------------------------------------------------------

    def _on_media(self, event: object) -> None:
        match event:
            case Opened() if event.request_id == self._opening:
                self._opening = None
                self._use_source(event.source)
            case ShownFrame() if event.request_id == self._frame_request:
                self._frame_request = None
                self._show(event)
            case ShownFrame() if self._batch_request and event.request_id == self._batch_request[0]:
                index, self._batch_request = self._batch_request[1], None
                self._segment(event, self.key_of(index))
            case MediaFailed():
                self._on_media_failed(event)
            case MediaDied():
                self._opening = self._frame_request = self._batch_request = None
                self._say(f"{event.message} It starts again by itself; open the file once more.", about="media")
                self._stop_batch()
            case ThumbnailReady():
                self.thumbnail_ready.emit(event)

    def _on_media_failed(self, event: MediaFailed) -> None:
        if event.request_id == self._opening:
            self._opening = None
            if event.code != "Cancelled":
                self._say(event.message, about="open")
        elif event.request_id == self._frame_request:
            self._frame_request = None
            if event.code == "Cancelled":
                return
            self._fail(self.index, event.message)
            self.shown = self.result = None
            self.frame_changed.emit(None)
            self.result_changed.emit(None)
            self._say(event.message, about="frame")
            self.settled.emit()
        elif self._batch_request and event.request_id == self._batch_request[0]:
            index = self._batch_request[1]
            self._batch_request = None
            if event.code != "Cancelled":
                self._fail(index, event.message)
            self._next_of_batch()

    def _use_source(self, source: SourceInfo) -> None:
        self._stop_batch()
        self._forget_asks(cancel=True)
        self.results.clear()
        self._failed.clear()
        self._exported.clear()
        self._scores_of = None
        self.source, self.shown, self.result = source, None, None
        self._rows = {path: row for row, path in enumerate(source.items)}
        self._say("", about="frame")
        self.source_changed.emit(source)
        self.frame_changed.emit(None)
        self.result_changed.emit(None)
        if source.count:
            self.go(0)

    def _show(self, shown: ShownFrame) -> None:
        self._say("", about="frame")
        self.shown, self.result = shown, None
        self.frame_changed.emit(shown)
        self._settle()

    def _ask_frame(self, index: int) -> int:
        if self._is_video:
            return self._services.media.client.frame(index)
        return self._services.media.client.frame(0, path=self.key_of(index).path)

    @property
    def _is_video(self) -> bool:
        return self.source is not None and not self.source.items

    # -- the frame on screen and its labels ----------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring labels of the present choice to the frame on screen in the cheapest way there is."""
        key = self.key_of(self.index)
        kept = self.results.get(key, self.choice)
        if kept is not None:
            self._present(kept)
            if self._holds_scores() and self._scores_target != self.choice.target:
                self._project(key)
            return
        if any(ask.key == key and ask.choice.same_run(self.choice) for ask in self._asks.values()):
            return
        if self._holds_scores():
            self._project(key)
        elif self.batch is None and self.runs_by_itself():
            self.run()
        elif self.batch is None:
            self._present(None)

    def _present(self, result: Result | None) -> None:
        self.result = result
        self.result_changed.emit(result)
        self.settled.emit()

    def _segment(self, shown: ShownFrame, key: FrameKey) -> None:
        recipe = replace(preset(self.choice.recipe), device=self.device)
        generation = self._services.inference.client.segment(
            shown.frame, model=self.choice.model, recipe=recipe, target=self.choice.target
        )
        overtaken = [] if self.batch is not None else list(self._asks)
        for old in overtaken:
            del self._asks[old]
        self._asks[generation] = _Ask(key, self.choice, (shown.frame.height, shown.frame.width), is_run=True)
        self._scores_of = None
        self._say("", about="run")
        self._announce_item(key)
        if self.batch is None:
            self.progress_changed.emit(Progress(0, 0, "Segmenting"))

    def _project(self, key: FrameKey) -> None:
        shown = self.shown
        if shown is not None:
            generation = self._services.inference.client.project(self.choice.target)
            size = (shown.frame.height, shown.frame.width)
            self._asks[generation] = _Ask(key, self.choice, size, is_run=False)

    def _holds_scores(self) -> bool:
        if self._scores_of is None or self.shown is None:
            return False
        key, choice = self._scores_of
        return key == self.key_of(self.index) and choice.same_run(self.choice)

    @property
    def _scores_target(self) -> str | None:
        return None if self._scores_of is None else self._scores_of[1].target

    # -- answers of the inference process ------------------------------------------------------------------------

    def _on_inference(self, event: object) -> None:
        match event:
            case Prediction():
                self._on_prediction(event)
            case SegmentProgress() if event.generation in self._asks and self.batch is None:
                self.progress_changed.emit(replace(event.progress, what=event.progress.what or "Segmenting"))
            case ProbeReady():
                self.probed.emit(event)
            case InferenceFailed():
                self._on_failed(event)
            case RequestCancelled():
                ask = self._asks.pop(event.generation, None)
                if ask is not None:
                    self._after_ask(ask)
            case EngineReady():
                self.engine = event
                self._say("", about="engine")
                self.engine_changed.emit(event)
            case InferenceDied():
                self._on_died(event)

    def _on_prediction(self, event: Prediction) -> None:
        ask = self._asks.pop(event.event.generation, None)
        if ask is None:
            return
        self._scores_of = (ask.key, ask.choice)
        result = self.results.put(ask.key, ask.choice, event)
        if ask.is_run and event.event.network_ran:
            self.estimator.learn(ask.choice.model, ask.choice.recipe, *ask.size, seconds=event.event.seconds)
        if self.shown is not None and ask.key == self.key_of(self.index):
            if ask.choice == self.choice:
                self._present(result)
            else:
                self._settle()
        self._after_ask(ask)

    def _on_failed(self, event: InferenceFailed) -> None:
        ask = self._asks.pop(event.generation, None)
        if ask is None:
            return
        message = event.message
        index = self._index_of(ask.key)
        if index is not None and ask.is_run:
            self._fail(index, message)
        self._say(message, about="run")
        if self.shown is not None and ask.key == self.key_of(self.index) and ask.is_run and self.batch is None:
            self._present(None)
        self._after_ask(ask)

    def _on_died(self, event: InferenceDied) -> None:
        self.engine = None
        self._scores_of = None
        self._stop_batch()
        self._forget_asks(cancel=False)
        self.engine_changed.emit(None)
        self._say(f"{event.message} It starts again by itself; then press Run.", about="engine")
        self.settled.emit()

    def _after_ask(self, ask: _Ask) -> None:
        self._announce_item(ask.key)
        if self.batch is not None:
            self._next_of_batch()
        elif not self.running:
            self.progress_changed.emit(None)

    # -- a run over everything -----------------------------------------------------------------------------------

    def _next_of_batch(self) -> None:
        batch = self.batch
        if batch is None or self._batch_request is not None or any(ask.is_run for ask in self._asks.values()):
            return
        index = batch.next(prefer=self.index, is_done=self._is_done)
        self.progress_changed.emit(batch.progress())
        if index is None:
            self.batch = None
            self.progress_changed.emit(None)
            self._say(batch.summary(len(self._failed)), kind="info", about="run")
            self.settled.emit()
        elif self.shown is not None and index == self.index and self._frame_request is None:
            self._segment(self.shown, self.key_of(index))
        else:
            self._batch_request = (self._ask_frame(index), index)

    def _stop_batch(self) -> None:
        if self.batch is not None:
            self.batch = None
            self._batch_request = None
            self._forget_asks(cancel=True)

    def _is_done(self, index: int) -> bool:
        return index in self._failed or self.results.has(self.key_of(index), self.choice)

    # -- small things --------------------------------------------------------------------------------------------

    def _forget_asks(self, *, cancel: bool) -> None:
        asks, self._asks = list(self._asks.values()), {}
        if asks and cancel:
            self._services.inference.client.cancel()
        for ask in asks:
            self._announce_item(ask.key)
        self.progress_changed.emit(None)

    def _index_of(self, key: FrameKey) -> int | None:
        if self.source is None:
            return None
        if self._is_video:
            return key.index if key.path == self.source.path else None
        return self._rows.get(key.path)

    def _announce_item(self, key: FrameKey) -> None:
        index = self._index_of(key)
        if index is not None:
            self.item_changed.emit(index)

    def _fail(self, index: int, reason: str) -> None:
        self._failed[index] = reason
        self.item_changed.emit(index)

    def _say(self, text: str, *, kind: Literal["error", "warning", "info"] = "error", about: str) -> None:
        self.notice.emit(Notice(text, kind, about))
