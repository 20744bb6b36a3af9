"""The bar over the workspace: open, model, recipe with its cost, run, device, output taxonomy, export."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionComboBox,
    QStyleOptionViewItem,
    QStylePainter,
    QWidget,
)

from mseg_studio.inference.events import EngineReady
from mseg_studio.taxonomy.catalog import OutputChoice
from mseg_studio.ui.services import ModelChoice
from mseg_studio.ui.theme import SMALL_PX, Theme, sized
from mseg_studio.ui.widgets import ElidedLabel, FlatBadge, SegmentedButtons, draw_tag
from mseg_studio.ui.workspaces.segment.estimate import Estimate

_TAG = Qt.ItemDataRole.UserRole + 1
_NOTE = Qt.ItemDataRole.UserRole + 2
_WIDE_PX, _NARROW_PX, _TIGHT_PX = 1400, 1160, 900
"""From the first on there is room for every word; below the second combo boxes and badge are short, below the third
Open and Export are icons."""
RECIPES = (
    ("live", "Live", "Approximate: the whole picture at once, no mirror image; for videos and cameras"),
    ("fast", "Fast", "One scale, no mirror image"),
    ("balanced", "Balanced", "One scale, averaged with the mirror image: the published single-scale numbers"),
    ("paper", "Paper", "Six scales, averaged with the mirror image: the published multi-scale numbers"),
)


class ControlsBar(QWidget):
    """Emits what the person chooses; shows what it is told."""

    model_chosen = Signal(str)
    recipe_chosen = Signal(str)
    target_chosen = Signal(str)
    run_clicked = Signal()
    cancel_clicked = Signal()
    export_clicked = Signal()

    def __init__(self, theme: Theme, open_menu: QMenu, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("controls")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._theme = theme
        self._running = False
        self._engine: EngineReady | None = None
        self.open_button = QPushButton(" Open")
        self.open_button.setMenu(open_menu)
        self.open_button.setAccessibleName("Open an image, a folder or a video")
        self.model_box = TaggedComboBox(theme, "Model", width=160)
        self.recipe_buttons = SegmentedButtons(RECIPES)
        self.cost = ElidedLabel()
        self.cost.setObjectName("dim")
        self.run_button = QPushButton("Run")
        self.run_button.setObjectName("primary")
        self.run_button.setMinimumWidth(72)
        self.badge = FlatBadge()
        self.target_box = TaggedComboBox(theme, "Output", width=194)
        self.export_button = QPushButton(" Export")
        self.export_button.setAccessibleName("Export")
        self.export_button.setToolTip("Write the labels as files (Ctrl+E)")
        self._build()
        self._connect()
        self.show_engine(None)
        theme.changed.connect(self._retint)
        self._retint()

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(8)
        row.addWidget(self.open_button)
        row.addSpacing(4)
        row.addWidget(self.model_box)
        row.addWidget(self.recipe_buttons)
        row.addSpacing(2)
        row.addWidget(self.cost)
        row.addWidget(self.run_button)
        row.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._output = QLabel("Output")
        self._output.setObjectName("dim")
        self._output.setBuddy(self.target_box)
        row.addWidget(self._output)
        row.addWidget(self.target_box)
        row.addWidget(self.export_button)

    def _connect(self) -> None:
        self.model_box.textActivated.connect(self.model_chosen)
        self.recipe_buttons.chosen.connect(self.recipe_chosen)
        self.target_box.textActivated.connect(self.target_chosen)
        self.run_button.clicked.connect(
            lambda: self.cancel_clicked.emit() if self._running else self.run_clicked.emit()
        )
        self.export_button.clicked.connect(self.export_clicked)

    def _retint(self) -> None:
        self.open_button.setIcon(self._theme.icon("open"))
        self.export_button.setIcon(self._theme.icon("export"))

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_models(self, models: Sequence[ModelChoice], current: str) -> None:
        """List the installed models."""
        self.model_box.clear()
        for model in models:
            tag = "demo" if model.is_demo else ""
            known = f"knows {len(model.trained_classes)} of {model.num_classes} classes" if model.is_demo else ""
            self.model_box.add(model.name, tag, known or f"{model.num_classes} classes, {model.taxonomy}")
        self.model_box.setCurrentText(current)

    def show_targets(self, outputs: Sequence[OutputChoice], current: str) -> None:
        """List the output taxonomies of the model."""
        self.target_box.clear()
        for output in outputs:
            self.target_box.add(output.name, output.links, output.note or f"{output.num_classes} classes")
        self.target_box.setCurrentText(current)

    def show_recipe(self, recipe: str) -> None:
        """Mark the recipe in force."""
        self.recipe_buttons.set_current(recipe)

    def show_cost(self, estimate: Estimate | None) -> None:
        """Say what a run will cost."""
        # Where there is little room the seconds stay longest: they are what one waits for.
        self.cost.setText(*(estimate.texts() if estimate else ("",)))

    def show_engine(self, engine: EngineReady | None, *, stopped: bool = False) -> None:
        """Say what the model runs on."""
        self._engine = engine
        if engine is not None:
            words = engine.label if self.width() >= _NARROW_PX else engine.label.split(" · ")[0]
            self.badge.show_state(words, "good", f"Segments on {engine.label}")
        elif stopped:
            self.badge.show_state("Restarting", "bad", "The segmentation process stopped and is being restarted")
        else:
            self.badge.show_state("Starting", "wait", "The segmentation process is being started")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use the room there is."""
        narrow, tight = self.width() < _NARROW_PX, self.width() < _TIGHT_PX
        self.open_button.setText("" if tight else " Open")
        self.export_button.setText("" if tight else " Export")
        self._output.setVisible(self.width() >= _WIDE_PX)
        self.model_box.setMinimumWidth(124 if narrow else 160)
        self.target_box.setMinimumWidth(146 if narrow else 194)
        if self._engine is not None:
            self.show_engine(self._engine)

    def show_running(self, running: bool, *, can_run: bool) -> None:
        """Turn Run into Cancel and back."""
        self._running = running
        name = "stop" if running else "primary"
        if self.run_button.objectName() != name:
            self.run_button.setObjectName(name)
            self.run_button.style().unpolish(self.run_button)
            self.run_button.style().polish(self.run_button)
        self.run_button.setText("Cancel" if running else "Run")
        self.run_button.setToolTip("Stop (Esc)" if running else "Segment the picture on screen (Ctrl+R)")
        self.run_button.setEnabled(running or can_run)


class TaggedComboBox(QComboBox):
    """A combo box whose items carry a tag such as "exact", shown in a pill."""

    def __init__(self, theme: Theme, name: str, *, width: int) -> None:
        super().__init__()
        self._theme = theme
        self.setAccessibleName(name)
        self.setItemDelegate(_TagDelegate(theme, self))
        self.setMinimumWidth(width)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMaxVisibleItems(24)
        self.view().setMinimumWidth(300)
        self.currentIndexChanged.connect(self._tell_note)

    def add(self, text: str, tag: str, note: str) -> None:
        """Add an item."""
        self.addItem(text)
        self.setItemData(self.count() - 1, tag, _TAG)
        self.setItemData(self.count() - 1, note, _NOTE)
        self.setItemData(self.count() - 1, note, Qt.ItemDataRole.ToolTipRole)

    def tag(self) -> str:
        """Tag of the chosen item."""
        return str(self.currentData(_TAG) or "")

    def _tell_note(self) -> None:
        note = str(self.currentData(_NOTE) or "")
        self.setToolTip(note)
        self.setAccessibleDescription(f"{self.tag()} {note}".strip())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Frame and arrow by the style, then name and tag."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = ""
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        box = QRectF(self.rect()).adjusted(11, 0, -28, 0)
        tag = self.tag()
        right = box.right()
        if tag:
            back, ink = tag_colors(tag, self._theme)
            right = draw_tag(painter, right, box.center().y(), tag, sized(self.font(), SMALL_PX), back, ink) - 6
        painter.setFont(self.font())
        painter.setPen(self.palette().color(QPalette.ColorRole.Text))
        room = QRectF(box.left(), box.top(), right - box.left(), box.height())
        text = painter.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideRight, int(room.width()))
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


class _TagDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Name, then note in dim and tag at the right."""
        tones = self._theme.tones
        box = QRectF(option.rect)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tones.selected))
            painter.drawRoundedRect(box, 4, 4)
        inner = box.adjusted(8, 0, -8, 0)
        right = inner.right()
        tag = str(index.data(_TAG) or "")
        if tag:
            back, ink = tag_colors(tag, self._theme)
            small = sized(option.font, SMALL_PX)
            right = draw_tag(painter, right, inner.center().y(), tag, small, back, ink) - 8
        painter.setFont(option.font)
        painter.setPen(QColor(tones.text))
        room = QRectF(inner.left(), inner.top(), right - inner.left(), inner.height())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, str(index.data()))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of 28 pixels."""
        return QSize(200, 28)


def tag_colors(tag: str, theme: Theme) -> tuple[QColor, QColor]:
    """Background and text of a tag: approximate and demo warn, exact is calm."""
    tones = theme.tones
    if tag in ("approximate", "demo"):
        return QColor(tones.warn_back), QColor(tones.warn)
    return QColor(tones.selected), QColor(tones.link)
