"""The Segment workspace: its parts put together and kept in step with the session."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QStackedLayout, QVBoxLayout, QWidget

from mseg_studio.errors import TaxonomyError
from mseg_studio.inference.events import EngineReady
from mseg_studio.labels.comparison import View
from mseg_studio.media.events import SourceInfo, ThumbnailReady
from mseg_studio.progress import Progress
from mseg_studio.taxonomy.palette import color_table
from mseg_studio.ui.bridges import ShownFrame
from mseg_studio.ui.canvas.canvas import Canvas
from mseg_studio.ui.services import ModelChoice, Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.asked_class import AskedClass, asked_class
from mseg_studio.ui.workspaces.segment.classes_panel import ClassesPanel
from mseg_studio.ui.workspaces.segment.comparison import ImageComparison
from mseg_studio.ui.workspaces.segment.controls_bar import ControlsBar
from mseg_studio.ui.workspaces.segment.display import Display
from mseg_studio.ui.workspaces.segment.empty_state import EmptyState
from mseg_studio.ui.workspaces.segment.files_panel import THUMBNAIL_PX, FilesPanel
from mseg_studio.ui.workspaces.segment.message_bar import MessageBar
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.player import Player
from mseg_studio.ui.workspaces.segment.pointing import Pointing
from mseg_studio.ui.workspaces.segment.probe_panel import ProbePanel
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.session import Session
from mseg_studio.ui.workspaces.segment.transport_bar import TransportBar

_REFRESH_MS = 100
"""How often buttons and status follow a video that plays."""


class SegmentWorkspace(QObject):
    """Owns the widgets; the window places them."""

    state_changed = Signal()
    """Something the window's actions and status bar show."""

    def __init__(self, services: Services, session: Session, theme: Theme, open_menu: QMenu, *, opacity: float) -> None:
        super().__init__(session)
        self._services = services
        self.session = session
        self.player = Player(session)
        self.progress: Progress | None = None
        self.models: list[ModelChoice] = []
        self._held: ShownFrame | None = None
        """A frame of a played video that is shown together with its labels."""
        self._asked_class: AskedClass | None = None
        """A class to be shown alone once there are labels that have it."""
        self._refresh_soon = QTimer(self, singleShot=True, interval=_REFRESH_MS)
        self._refresh_soon.timeout.connect(self._refresh_now)
        self.controls = ControlsBar(theme, open_menu)
        self.canvas = Canvas(theme)
        self.empty = EmptyState(theme, has_camera=bool(services.cameras()))
        self.messages = MessageBar(theme)
        self.transport = TransportBar(theme)
        self.files = FilesPanel(theme)
        self.classes = ClassesPanel(theme, services.search)
        self.probe = ProbePanel(theme)
        self.comparison = ImageComparison(session, services, self.model)
        self.display = Display(session, self.comparison, self.canvas, theme, self.classes.visibility)
        self.layers = self.display.layers
        self.pointing = Pointing(session, self.canvas, self.display, self.probe, self.model)
        self.centre = self._make_centre()
        self._connect_session()
        self._connect_widgets()
        self.layers.set_opacity(opacity)
        self.refresh_models()
        self._on_source(None)
        self._refresh_run()

    def _make_centre(self) -> QWidget:
        centre = QWidget()
        centre.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.messages)
        stack_widget = QWidget()
        self._stack = QStackedLayout(stack_widget)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.canvas)
        column.addWidget(stack_widget, 1)
        column.addWidget(self.transport)
        return centre

    def _connect_session(self) -> None:
        session = self.session
        session.source_changed.connect(self._on_source)
        session.moved.connect(self._on_moved)
        session.frame_changed.connect(self._on_frame)
        session.result_changed.connect(self._on_result)
        session.item_changed.connect(self._on_item)
        session.choice_changed.connect(self._on_choice)
        session.progress_changed.connect(self._on_progress)
        session.notice.connect(self.messages.take)
        session.runs.engine_changed.connect(self._on_engine)
        session.reader.thumbnail_ready.connect(self._on_thumbnail)
        session.settled.connect(self._refresh_run)

    def _connect_widgets(self) -> None:
        session, controls = self.session, self.controls
        controls.model_chosen.connect(lambda name: session.choose(model=name))
        controls.recipe_chosen.connect(lambda name: session.choose(recipe=name))
        controls.target_chosen.connect(lambda name: session.choose(target=name))
        controls.run_clicked.connect(session.run)
        controls.cancel_clicked.connect(self.cancel)
        self.files.chosen.connect(session.go)
        self.files.thumbnail_wanted.connect(lambda path: self._services.media.client.thumbnail(path, THUMBNAIL_PX))
        self.classes.visibility_changed.connect(self.display.revisible)
        self.display.class_clicked.connect(self._on_class_clicked)
        self.classes.only_chosen.connect(lambda only: session.choose(only=only))
        self.classes.threshold.chosen.connect(lambda least: session.choose(min_confidence=least))
        self.display.changed.connect(self._on_layers)
        self.canvas.zoom_changed.connect(lambda _scale: self.state_changed.emit())
        self.transport.play_clicked.connect(self.player.toggle)
        self.transport.step_asked.connect(self.step)
        self.transport.seek_asked.connect(self.seek)
        self.transport.run_all_clicked.connect(self.run_all)
        self.player.playing_changed.connect(self.transport.show_playing)
        self.player.playing_changed.connect(self._on_playing)

    # -- what a person does --------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop playing and running."""
        self.player.stop()
        self.session.cancel()

    def run_all(self) -> None:
        """Segment everything that is open."""
        self.player.stop()
        self.session.run_all()

    def step(self, by: int) -> None:
        """Pause and move by some items."""
        self.player.stop()
        self.session.go(self.session.index + by)

    def seek(self, index: int) -> None:
        """Pause and go to a frame."""
        self.player.stop()
        self.session.go(index)

    def toggle_labels(self) -> None:
        """Show or hide the labels."""
        self.layers.labels.toggle()

    def toggle_contours(self) -> None:
        """Show or hide the contours."""
        self.layers.contours.toggle()

    def refresh_models(self) -> None:
        """Read again which models are installed."""
        self.models = list(self._services.models())
        choice = self.session.choice
        self.controls.show_models(self.models, choice.model)
        self.controls.show_recipe(choice.recipe)
        self._show_targets()

    def refresh_targets(self) -> None:
        """Read again which output taxonomies there are: a file was saved, changed or removed.

        What was made with an older table of the output taxonomy is made anew from the kept probabilities; where the
        taxonomy is gone the model's own takes its place, with a word.
        """
        model, target = self.model(), self.session.choice.target
        if model is None:
            return
        outputs = [output.name for output in self._services.catalog.outputs(model.taxonomy)]
        if target not in outputs:
            self.session.choose(target=outputs[0])
            self._say(f"There is no output {target} any more: {outputs[0]} is shown.", about="targets")
        else:
            self.session.choose()
        self._show_targets()

    def show_class(self, taxonomy: str, class_name: str) -> None:
        """Show the pixels of a class on the open image, and nothing else of the labels.

        The output becomes `taxonomy` where the model has it, else the model's own with the class it leads to. What
        cannot be shown is said in the message bar.
        """
        model, session = self.model(), self.session
        if model is None or session.shown is None:
            self._say(f"Open an image to see the pixels of {class_name} on it.", about="class")
            return
        try:
            asked = asked_class(self._services.catalog, model.taxonomy, taxonomy, class_name)
        except TaxonomyError as error:
            self._say(f"{error}.", about="class")
            return
        self.messages.take(Notice("", about="class"))
        self._asked_class = asked
        session.choose(target=asked.taxonomy)
        self.layers.labels.setChecked(True)
        self._show_asked_class()

    def show_difference(self) -> None:
        """Show where mapping labels would differ from projecting probabilities, or say why that cannot be."""
        self.classes.show_alone(None)  # it is asked for the whole picture
        self.show_view("difference")

    def show_view(self, view: View) -> None:
        """Show a measure or a difference in place of the labels, or say why that cannot be."""
        self.display.refresh_missing()
        button = self.layers.measures[view]
        if not button.isEnabled():
            self._say(button.toolTip(), about="view")
        elif not button.isChecked():
            button.click()

    def model(self) -> ModelChoice | None:
        """The chosen model, None when it is not installed."""
        return next((m for m in self.models if m.name == self.session.choice.model), None)

    def available(self) -> frozenset[str]:
        """What is there for actions to work on."""
        session = self.session
        there = {"camera"} if self._services.cameras() else set()
        if session.source is not None:
            there.add("source")
            if session.source.count > 1:
                there.add("list")
            if session.source.timestamps_s or session.source.kind == "camera":
                there.add("video")
        if session.shown is not None:
            there.add("frame")
        if session.result is not None:
            there.add("labels")
        if session.running or self.player.playing:
            there.add("running")
        return frozenset(there)

    # -- what the session says -----------------------------------------------------------------------------------

    def _on_source(self, source: SourceInfo | None) -> None:
        is_video = source is not None and bool(source.timestamps_s)
        self.transport.setVisible(is_video)
        self.files.set_paths(source.items if source is not None else ())
        if source is not None and is_video:
            self.transport.set_video(source.timestamps_s, self.session.has_labels)
        self._stack.setCurrentWidget(self.canvas if source is not None else self.empty)
        if source is not None and not isinstance(QApplication.focusWidget(), QLineEdit):
            self.canvas.setFocus()
        self.pointing.forget_pin()
        self.state_changed.emit()

    def _on_moved(self, index: int) -> None:
        self.files.select(index)
        self.transport.show_position(index)
        self._refresh_run()

    def _on_frame(self, shown: ShownFrame | None) -> None:
        if shown is not None and self.player.playing and self.player.with_labels and self.session.runs_by_itself():
            self._held = shown  # until its labels are there: a played video does not flicker
        else:
            self._show_frame(shown)

    def _show_frame(self, shown: ShownFrame | None) -> None:
        self._held = None
        self._asked_class = None
        self.display.forget()
        self.classes.new_picture()
        self.canvas.set_picture(None if shown is None else shown.picture)
        if shown is None:
            self.probe.clear()
        self._show_cost()
        self._refresh_run()

    def _show_held(self) -> None:
        if self._held is not None:
            self._show_frame(self._held)

    def _show_cost(self) -> None:
        if not self.player.playing:  # then it is that of the frame before
            self.controls.show_cost(self.session.estimate())

    def _on_result(self, result: Result | None) -> None:
        self._show_held()
        self.display.show_result(result)
        self.classes.set_result(result)
        self._show_asked_class()
        self.pointing.show()
        self._show_labelled_thumbnail(result)
        self._show_cost()
        self._refresh_run()

    def _on_item(self, index: int) -> None:
        source = self.session.source
        if source is not None and source.items:
            self.files.files.set_state(index, self.session.state_of(index))
        elif source is not None:
            self.transport.refresh_one(index)
        self._refresh_run()

    def _on_choice(self) -> None:
        choice = self.session.choice
        self.controls.model_box.setCurrentText(choice.model)
        self.controls.show_recipe(choice.recipe)
        self._show_targets()
        self.files.files.forget_states()
        self.transport.refresh_done()
        self.controls.show_cost(self.session.estimate())
        self.state_changed.emit()

    def _on_progress(self, progress: Progress | None) -> None:
        self.progress = progress
        self._refresh_run()

    def _on_engine(self, engine: EngineReady | None) -> None:
        self.controls.show_engine(engine, stopped=engine is None)

    def _on_thumbnail(self, ready: ThumbnailReady) -> None:
        self.files.set_thumbnail(ready.path, _pixmap(ready.pixels_HW3), labelled=False)

    def _show_targets(self) -> None:
        model = self.model()
        if model is not None:
            outputs = self._services.catalog.outputs(model.taxonomy)
            self.controls.show_targets(outputs, self.session.choice.target)
            choice = self.session.choice
            self.classes.follow(self._services.catalog.taxonomy(choice.target), choice.only)
            self.classes.threshold.show_threshold(choice.min_confidence)

    def _show_asked_class(self) -> None:
        """Draw the class that was asked for alone, once the labels on screen have it."""
        asked, result = self._asked_class, self.session.result
        if asked is None or result is None or result.choice != self.session.choice:
            return
        self._asked_class = None
        self.classes.show_alone(asked.name)
        if text := asked.said_of(result):
            self._say(text, about="class")

    def _on_class_clicked(self, name: str) -> None:
        self.classes.show_alone(None if self.classes.visibility.solo == name else name)

    def _say(self, text: str, *, about: str) -> None:
        self.session.notice.emit(Notice(text, "info", about))

    def _refresh_run(self) -> None:
        """Bring buttons and status up to date: at once, or a few times a second while a video plays."""
        if not self.player.playing:
            self._refresh_now()
        elif not self._refresh_soon.isActive():
            self._refresh_soon.start()

    def _refresh_now(self) -> None:
        session = self.session
        can_run = session.shown is not None and self.model() is not None
        self.controls.show_running(session.running, can_run=can_run)
        self.controls.export_button.setEnabled(session.result is not None)
        self.transport.run_all.setEnabled(session.batch is None)
        self.display.refresh_missing()
        self.state_changed.emit()

    def _show_labelled_thumbnail(self, result: Result | None) -> None:
        source, shown = self.session.source, self.session.shown
        if source is None or shown is None or result is None or not source.items:
            return
        step = max(1, max(shown.frame.height, shown.frame.width) // THUMBNAIL_PX)
        ids_HW = result.labels.ids_HW[::step, ::step]
        table = color_table(result.labels.taxonomy)
        colors = table[ids_HW]
        rgb_HW3 = np.stack([(colors >> shift) & 255 for shift in (16, 8, 0)], axis=-1)
        mixed = (shown.frame.pixels_HW3[::step, ::step].astype(np.uint16) + rgb_HW3) // 2
        self.files.set_thumbnail(source.items[self.session.at], _pixmap(mixed.astype(np.uint8)), labelled=True)

    def _on_playing(self, playing: bool) -> None:
        if not playing:
            self._show_held()
            self._show_cost()
        self._refresh_now()

    def _on_layers(self) -> None:
        self.player.with_labels = self.display.covers
        self.pointing.show()
        self.state_changed.emit()


def _pixmap(pixels_HW3: npt.NDArray[np.uint8]) -> QPixmap:
    pixels_HW3 = np.ascontiguousarray(pixels_HW3)
    height, width, _ = pixels_HW3.shape
    return QPixmap.fromImage(QImage(pixels_HW3.data, width, height, width * 3, QImage.Format.Format_RGB888))
