"""The state of the Segment workspace: what is open, chosen and shown. Touches no widget; views follow its signals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from mseg_studio.inference.events import InferenceFailed
from mseg_studio.labels.readout import Measure
from mseg_studio.media.events import MediaFailed, SourceInfo
from mseg_studio.progress import Progress
from mseg_studio.ui.bridges import ShownFrame
from mseg_studio.ui.services import Services
from mseg_studio.ui.workspaces.segment.batch import BatchRun
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.editions import Editions
from mseg_studio.ui.workspaces.segment.estimate import Estimate, short_duration
from mseg_studio.ui.workspaces.segment.items import FrameKey, Items, ItemState
from mseg_studio.ui.workspaces.segment.notice import Kind, Notice, notices_of
from mseg_studio.ui.workspaces.segment.reader import Reader
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.runs import Ask, Runs

AUTO_SECONDS = 5.0
"""A frame that costs less is segmented as soon as it is shown."""


class Session(QObject):
    """One source, one place in it, one choice of what decides the labels, and a measure to show beside them."""

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

    def __init__(self, services: Services, choice: Choice, *, device: str = "auto") -> None:
        super().__init__()
        self.reader = Reader(services.media, self)
        self.runs = Runs(services.inference, services.predict, services.learn, device=device, parent=self)
        self.choice = choice
        self._editions = Editions(services.catalog)
        self._editions.of(choice.target)
        self.source: SourceInfo | None = None
        self.index = 0
        """The item that is asked for."""
        self.at = 0
        """The item that `shown` and `result` are of."""
        self.shown: ShownFrame | None = None
        self.result: Result | None = None
        self.measure: Measure | None = None
        """What is measured beside the labels of the frame on screen."""
        self.batch: BatchRun | None = None
        self.auto_seconds = AUTO_SECONDS
        self.quiet = False
        """While a video plays, frames pass without a word."""
        self._items = Items()
        self._connect_reader(self.reader)
        self.runs.answered.connect(self._on_answered)
        self.runs.failed.connect(self._on_run_failed)
        self.runs.cancelled.connect(self._after)
        self.runs.progressed.connect(self._on_run_progress)
        self.runs.died.connect(self._on_died)
        self.runs.came_up.connect(lambda: self._say("", about="engine"))

    def _connect_reader(self, reader: Reader) -> None:
        reader.opened.connect(self._use_source)
        reader.open_failed.connect(self._on_open_failed)
        reader.arrived.connect(self._show)
        reader.arrive_failed.connect(self._on_arrive_failed)
        reader.fetched.connect(lambda index, shown: self._segment(shown, self.key_of(index)))
        reader.fetch_failed.connect(self._on_fetch_failed)
        reader.thumbnail_failed.connect(self._on_thumbnail_failed)
        reader.died.connect(lambda text: self._say(f"{text} It starts again by itself.", kind="warning", about="media"))

    # -- opening and moving --------------------------------------------------------------------------------------

    def open(self, path: str) -> None:
        """Open an image, folder, video or camera; what is open stays until the new source is there."""
        self._say("", about="open")
        self.reader.open(path)
        self.progress_changed.emit(Progress(0, 0, f"Opening {Path(path).name}"))

    def open_images(self, paths: tuple[str, ...]) -> None:
        """Open these image files as one list."""
        self.reader.forget_opening()
        self._use_source(SourceInfo("folder", str(Path(paths[0]).parent), paths))

    def go(self, index: int) -> None:
        """Show item `index`; out of range is brought into it."""
        if self.source is None:
            return
        last = self.source.count - 1
        self.index = max(index, 0) if self.source.kind == "camera" else min(max(index, 0), last)
        dropped = self.reader.show(self.source, self.index)
        if self.batch is not None and dropped is not None:
            self.batch.give_back(dropped)
        if not self.running and not self.source.fps:  # a played video would announce every frame
            self.progress_changed.emit(Progress(0, 0, "Reading"))
        self.moved.emit(self.index)

    def key_of(self, index: int) -> FrameKey:
        """What results of an item are kept under."""
        return self._items.key_of(index)

    def state_of(self, index: int) -> tuple[ItemState, str]:
        """State of an item, and why it failed."""
        running = self.runs.is_running(self.key_of(index))
        return self._items.state_of(index, running=running, labelled=self.has_labels(index))

    def has_labels(self, index: int) -> bool:
        """Whether an item has labels under the present choice."""
        return self.runs.results.has(self.key_of(index), self.choice)

    def mark_exported(self, item: int | str) -> None:
        """The labels of an item, given by its number or path, were written."""
        index = self._items.row_of(item) if isinstance(item, str) else item
        if index is not None:
            self._items.exported.add(index)
            self.item_changed.emit(index)

    # -- choosing and running ------------------------------------------------------------------------------------

    def choose(self, **changes: Any) -> None:
        """Choose other values of `Choice` for what is shown next and now.

        Another output taxonomy, or another table under its name, drops the classes that take part and says so. Without
        changes it is enough to notice a table that has changed on disk.
        """
        old, wanted = self.choice, replace(self.choice, **changes)
        new, text = self._editions.settled(old, wanted, keep_only="only" in changes)
        if text:
            self._say(text, kind="info", about="only")
        if new == old:
            return
        self.choice = new
        self._stop_batch()
        self._items.exported.clear()
        self._say("", about="run")  # what went wrong did so under another choice
        self.choice_changed.emit()
        if self.shown is not None:
            self._settle()

    def show_measure(self, measure: Measure | None) -> None:
        """Measure this beside the labels of the frame on screen and of those to come; None measures nothing."""
        if measure != self.measure:
            self.measure = measure
            if self.shown is not None:
                self._settle()

    def run(self) -> None:
        """Segment the frame on screen."""
        if self.shown is not None:
            self._stop_batch()
            self._segment(self.shown, self.key_of(self.at))

    def run_all(self) -> None:
        """Segment every item that has no result yet."""
        if self.source is None or self.source.count < 2 or self.batch is not None:
            return
        self._forget(cancel=True)
        for index in [*self._items.failed]:
            del self._items.failed[index]
            self.item_changed.emit(index)
        self.batch = BatchRun(self.source.count, done=[i for i in range(self.source.count) if self._is_done(i)])
        self._next_of_batch()

    def cancel(self) -> None:
        """Stop everything that runs, at once for the window; late answers are dropped."""
        self.reader.forget_opening()
        self._stop_batch()
        self._forget(cancel=True)
        self.settled.emit()

    def has_scores(self) -> bool:
        """Whether the process holds the scores of the frame on screen, or soon will."""
        key = self.key_of(self.at) if self.shown is not None else None
        return key is not None and (self.runs.holds_scores(key, self.choice) or self.runs.is_running(key))

    def probe(self, x: int, y: int) -> None:
        """Ask for the probabilities at a pixel, when the process holds them."""
        if self.shown is not None and self.runs.holds_scores(self.key_of(self.at), self.choice):
            self.runs.probe(x, y, self.choice.target)

    def estimate(self) -> Estimate | None:
        """Cost of a run of the frame on screen, None when nothing is shown or the model is gone."""
        return None if self.shown is None else self.runs.estimate(self.shown.frame, self.choice)

    @property
    def running(self) -> bool:
        """Whether a run of the network or a batch is under way."""
        return self.batch is not None or self.runs.running

    # -- answers of the media process ----------------------------------------------------------------------------

    def _on_open_failed(self, event: MediaFailed) -> None:
        self._say(event.message, about="open")
        self._calm()
        if self.source is not None:
            self.reader.reopen(self.source)

    def _on_arrive_failed(self, event: MediaFailed) -> None:
        self._fail(self.index, event)
        self.shown = self.result = None
        self.frame_changed.emit(None)
        self.result_changed.emit(None)
        self._say(event.message, about="frame")
        self._next_of_batch()
        self._calm()
        self.settled.emit()

    def _on_fetch_failed(self, index: int, event: MediaFailed) -> None:
        self._fail(index, event)
        self._next_of_batch()

    def _on_thumbnail_failed(self, event: MediaFailed) -> None:
        row = self._items.row_of(event.file)
        if row is not None:  # the file will not open either
            self._fail(row, event)

    def _use_source(self, source: SourceInfo) -> None:
        self._stop_batch()
        self._forget(cancel=True)
        self.runs.forget_scores()
        self._items = Items(source)
        self.source, self.shown, self.result, self.index, self.at = source, None, None, 0, 0
        self._say("", about="frame")
        self.source_changed.emit(source)
        self.frame_changed.emit(None)
        self.result_changed.emit(None)
        for note in notices_of(source):
            self.notice.emit(note)
        if source.count or source.kind == "camera":
            self.go(0)

    def _show(self, shown: ShownFrame) -> None:
        self._say("", about="frame")
        if self._items.failed.pop(self.index, None) is not None:
            self.item_changed.emit(self.index)
        self.shown, self.result, self.at = shown, None, self.index
        self.frame_changed.emit(shown)
        self._settle()
        self._next_of_batch()

    # -- the frame on screen and its labels ----------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring labels of the present choice to the frame on screen in the cheapest way there is."""
        if self.shown is None:
            return
        key, choice, runs = self.key_of(self.at), self.choice, self.runs
        kept, scores = runs.results.has(key, choice), runs.holds_scores(key, choice)
        measured = self.measure is None or runs.results.measure_of(key, choice) == self.measure
        if kept and (measured or not scores):
            runs.results.recall(self, key, choice, self._take_recalled)
        elif runs.asked_for(key, choice, self.measure) or (runs.is_running(key) and runs.will_answer(key, choice)):
            return
        elif scores:
            runs.project(self.shown.frame, key, choice, self.measure)
        elif self.batch is None and self.runs_by_itself():
            self._segment(self.shown, key)
        elif self.batch is None:
            self._wait_for_run()

    def _wait_for_run(self) -> None:
        """A run is too dear to start unasked: say why, and keep labels that another recipe or model gave."""
        estimate = self.estimate()
        if estimate is not None and not self.quiet:
            words = f"Press Run: about {short_duration(estimate.seconds)}. {estimate.warning}".strip()
            self._say(words, kind="warning" if estimate.warning else "info", about="run")
        same = self.result is not None and self.result.choice.same_labels(self.choice)
        self._present(self.result if same else None)

    def _take_recalled(self, key: FrameKey, result: Result) -> None:
        if self.shown is not None and key == self.key_of(self.at) and result.choice == self.choice:
            self._present(result)

    def runs_by_itself(self) -> bool:
        """Whether showing a frame is enough to have it segmented."""
        estimate = self.estimate()
        return estimate is not None and estimate.seconds <= self.auto_seconds and not estimate.warning

    def _present(self, result: Result | None) -> None:
        self.result = result
        self.result_changed.emit(result)
        self._calm()
        self.settled.emit()

    def _segment(self, shown: ShownFrame, key: FrameKey) -> None:
        self._say("", about="run")
        self.runs.segment(shown.frame, key, self.choice, self.measure)
        self._announce(key)
        if self.batch is None:
            self.progress_changed.emit(Progress(0, 0, "Segmenting"))

    def _on_answered(self, ask: Ask, result: Result) -> None:
        index = self._items.index_of(ask.key)
        if index is not None:
            self._items.failed.pop(index, None)
        if self.shown is not None and ask.key == self.key_of(self.at):
            if (ask.choice, ask.measure) == (self.choice, self.measure):
                self._present(result)
            else:
                self._settle()
        self._after(ask)

    def _on_run_failed(self, ask: Ask, event: InferenceFailed) -> None:
        index = self._items.index_of(ask.key)
        if index is not None and ask.is_run:
            self._items.failed[index] = event.message
        self._say(event.message, about="engine" if event.code == "WorkerDied" else "run")
        if self.shown is not None and ask.key == self.key_of(self.at) and ask.is_run and self.batch is None:
            self._present(None)
        self._after(ask)

    def _on_run_progress(self, progress: Progress) -> None:
        if self.batch is None:
            what = progress.what[:1].upper() + progress.what[1:] if progress.what else "Segmenting"
            self.progress_changed.emit(replace(progress, what=what))

    def _on_died(self, message: str) -> None:
        self._stop_batch()
        self._forget(cancel=False)
        self._say(f"{message} It starts again by itself; then press Run.", about="engine")
        self.settled.emit()

    def _after(self, ask: Ask) -> None:
        self._announce(ask.key)
        if self.batch is not None:
            self._next_of_batch()
        else:
            self._calm()

    # -- a run over everything -----------------------------------------------------------------------------------

    def _next_of_batch(self) -> None:
        batch = self.batch
        if batch is None or self.source is None or not self.reader.idle or self.runs.running:
            return
        index = batch.next(prefer=self.index, is_done=self._is_done)
        self.progress_changed.emit(batch.progress())
        if index is None:
            self.batch = None
            self.progress_changed.emit(None)
            self._say(batch.summary(len(self._items.failed)), kind="info", about="run")
            self.settled.emit()
        elif self.shown is not None and index == self.at:
            self._segment(self.shown, self.key_of(index))
        else:
            self.reader.fetch(self.source, index)

    def _stop_batch(self) -> None:
        if self.batch is not None:
            self.batch = None
            self.reader.forget_fetch()
            self._forget(cancel=True)

    def _is_done(self, index: int) -> bool:
        return index in self._items.failed or self.has_labels(index)

    def _calm(self) -> None:
        """Say that nothing is under way, when so."""
        if not self.running and not self.reader.showing and not self.reader.opening:
            self.progress_changed.emit(None)

    def _forget(self, *, cancel: bool) -> None:
        for ask in self.runs.forget(cancel=cancel):
            self._announce(ask.key)
        self.progress_changed.emit(None)

    def _announce(self, key: FrameKey) -> None:
        index = self._items.index_of(key)
        if index is not None:
            self.item_changed.emit(index)

    def _fail(self, index: int, event: MediaFailed) -> None:
        self._items.failed[index] = event.message.removeprefix(f"{event.file}: ")
        self.item_changed.emit(index)

    def _say(self, text: str, *, kind: Kind = "error", about: str) -> None:
        self.notice.emit(Notice(text, kind, about))
