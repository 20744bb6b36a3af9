"""The small bar that floats over the canvas: which layers are shown, and how opaque they are."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QSlider, QWidget

from mseg_studio.labels.comparison import VIEWS, View

_TIPS: dict[View, str] = {
    "confidence": "Show how much of the probability the best class has",
    "margin": "Show how far the best class is ahead of the second",
    "entropy": "Show how spread the probabilities are: high is uncertain",
    "difference": "Show where mapping the model's own labels would give another class than projecting probabilities",
    "no_target": "Show how much of the probability belongs to classes that have no target in the output taxonomy",
}


class LayersBar(QWidget):
    """Labels or one view of them, contours, opacity."""

    labels_toggled = Signal(bool)
    contours_toggled = Signal(bool)
    view_chosen = Signal(object)
    """A `View`, or None for the labels."""
    opacity_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layers")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.labels = _layer("Labels", "Show the labels (T)", on=True)
        self.contours = _layer("Contours", "Show the edges between classes (C)", on=True)
        self.measures: dict[View, QPushButton] = {}
        """One button a view."""
        self.more = _layer("More ▾", "Measures and differences", on=False)
        """Stands for them all where there is little room."""
        self._actions: dict[View, QAction] = {}
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        self.slider.setFixedWidth(104)
        self.slider.setAccessibleName("Opacity of the layers in percent")
        self.slider.setToolTip("Opacity of labels and measures (O, Shift+O)")
        self.percent = QLabel()
        self.percent.setObjectName("dim")
        self.percent.setFixedWidth(self.percent.fontMetrics().horizontalAdvance("100 %") + 2)
        self._opacity = QLabel("Opacity")
        self._opacity.setObjectName("dim")
        self._build()
        self.labels.toggled.connect(self._on_labels)
        self.contours.toggled.connect(self.contours_toggled)
        self.slider.valueChanged.connect(self._on_slider)

    def _build(self) -> None:
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(6, 5, 12, 5)
        row.setSpacing(4)
        row.addWidget(self.labels)
        row.addWidget(self.contours)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for view in VIEWS:
            title = view.replace("_", " ").capitalize()
            button = self.measures[view] = _layer(title, _TIPS[view], on=False)
            button.clicked.connect(lambda on, view=view: self._on_view(view if on else None))
            row.addWidget(button)
            action = self._actions[view] = menu.addAction(title)
            action.setCheckable(True)
            action.triggered.connect(lambda on, view=view: self._on_view(view if on else None))
        menu.aboutToShow.connect(self._fill_menu)
        menu.aboutToHide.connect(lambda: self._check(self.view))  # a press that opens the menu is no choice
        self.more.setMenu(menu)
        self.more.hide()
        row.addWidget(self.more)
        row.addSpacing(10)
        row.addWidget(self._opacity)
        row.addSpacing(4)
        row.addWidget(self.slider)
        row.addSpacing(4)
        row.addWidget(self.percent)

    def set_opacity(self, opacity: float) -> None:
        """Move the slider."""
        self.slider.setValue(round(100 * opacity))
        self._on_slider(self.slider.value())

    def show_missing(self, reasons: Mapping[View, str]) -> None:
        """Disable the views that cannot be shown; the reason is their tooltip."""
        for view, button in self.measures.items():
            reason = reasons.get(view, "")
            button.setEnabled(not reason)
            button.setToolTip(reason or _TIPS[view])
            button.setAccessibleDescription(reason or _TIPS[view])

    def fit_into(self, width: int) -> None:
        """Leave out what can be done without where there is little room: keys and a menu do the same."""
        opacity, views = (self._opacity, self.slider, self.percent), tuple(self.measures.values())
        for hidden in ((self.more,), (self.more, self._opacity), (self.more, *opacity), views, (*opacity, *views)):
            for widget in (*opacity, *views, self.more):
                widget.setHidden(widget in hidden)
            if self._row.sizeHint().width() <= width:
                break

    @property
    def view(self) -> View | None:
        """What is chosen to be shown in place of the labels."""
        return next((view for view, button in self.measures.items() if button.isChecked()), None)

    def _on_labels(self, on: bool) -> None:
        if on and self.view is not None:
            self._check(None)
            self.view_chosen.emit(None)
        self.labels_toggled.emit(on)

    def _on_view(self, view: View | None) -> None:
        """Labels and views take each other's place: one over the other could not be read."""
        self._check(view)
        if view is None:
            self.view_chosen.emit(None)
        self.labels.setChecked(view is None)
        if view is not None:
            self.view_chosen.emit(view)

    def _check(self, view: View | None) -> None:
        for name, button in self.measures.items():
            button.setChecked(name == view)
        self.more.setText(f"{'More' if view is None else self.measures[view].text()} ▾")
        self.more.setChecked(view is not None)

    def _fill_menu(self) -> None:
        for view, action in self._actions.items():
            button = self.measures[view]
            action.setChecked(button.isChecked())
            action.setEnabled(button.isEnabled())
            action.setToolTip(button.toolTip())

    def _on_slider(self, value: int) -> None:
        self.percent.setText(f"{value} %")
        self.opacity_changed.emit(value / 100)


def _layer(text: str, tip: str, *, on: bool) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName("layer")
    button.setCheckable(True)
    button.setChecked(on)
    button.setToolTip(tip)
    return button
