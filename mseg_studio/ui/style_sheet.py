"""The style sheet: what Fusion and the palette cannot say. Panels differ by tone, frames are rare."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from mseg_studio.settings import resource_folder

if TYPE_CHECKING:
    from mseg_studio.ui.theme import Tones

_SHEET = Template("""
QMainWindow { background: $base; }
QMainWindow::separator { background: $base; width: 1px; height: 1px; }
QMainWindow::separator:hover { background: $accent; }
QToolTip { background: $raised; color: $text; border: 1px solid $line; padding: 4px 6px; }

QMenuBar { background: $base; color: $text; padding: 1px 4px; }
QMenuBar::item { padding: 4px 9px; border-radius: 4px; background: transparent; }
QMenuBar::item:selected { background: $hover; }
QMenu { background: $panel; color: $text; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 5px 26px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $selected; }
QMenu::item:disabled { color: $dim; }
QMenu::icon { padding-left: 8px; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }

QWidget#panel, QWidget#controls, QToolBar { background: $panel; border: none; }
QToolBar { padding: 0; spacing: 0; border-bottom: 1px solid $base; }
QWidget#transport { background: $panel; border-top: 1px solid $base; }
QDockWidget { color: $dim; }
QStatusBar { background: $base; color: $dim; }
QStatusBar::item { border: none; }
QStatusBar QLabel { color: $dim; font-size: 12px; }
QLabel#heading { color: $dim; font-size: 11px; }
QLabel#dim { color: $dim; }
QLabel#small { color: $dim; font-size: 12px; }
QLabel#warn { color: $warn; font-size: 12px; }
QLabel#title { font-size: 20px; font-weight: 600; }
QLabel#badge { background: $good_back; color: $good; border-radius: 10px; padding: 0 9px; font-size: 11px; }
QLabel#badge[state="wait"] { background: $raised; color: $dim; }
QLabel#badge[state="bad"] { background: $bad_back; color: $bad; }

QPushButton, QToolButton {
  background: $raised; color: $text; border: 1px solid $line; border-radius: 6px; padding: 4px 12px; min-height: 20px;
}
QToolButton { padding: 4px 8px; }
QPushButton:hover, QToolButton:hover { background: $hover; }
QPushButton:pressed, QToolButton:pressed { background: $selected; }
QPushButton:disabled, QToolButton:disabled { color: $dim; background: transparent; }
QPushButton:focus, QToolButton:focus { border-color: $accent; }
QPushButton#primary { background: $accent; border-color: $accent; color: $on_accent; font-weight: 600; }
QPushButton#primary:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton#primary:focus { border-color: $text; }
QPushButton#primary:disabled { background: $raised; border-color: $line; color: $dim; font-weight: 400; }
QPushButton#link {
  background: transparent; border: none; color: $link; padding: 0; text-align: left; min-height: 16px; font-size: 12px;
}
QPushButton#link:hover, QPushButton#link:focus { text-decoration: underline; }
QToolButton#flat { background: transparent; border: 1px solid transparent; padding: 3px; min-height: 18px; }
QToolButton#flat:hover { background: $hover; }
QToolButton#flat:focus { border-color: $accent; }
QToolButton#flat:disabled { background: transparent; }
QWidget#workspaces { background: $base; }
QToolButton#workspace {
  background: transparent; border: 1px solid transparent; border-radius: 8px; padding: 5px 0 3px 0; color: $dim;
  font-size: 11px;
}
QToolButton#workspace:hover { background: $panel; color: $text; }
QToolButton#workspace:checked { background: $selected; color: $text; }
QToolButton#workspace:focus { border-color: $accent; }
QToolButton::menu-indicator { image: none; width: 0; }
QPushButton::menu-indicator { image: none; width: 0; }

QPushButton#stop { font-weight: 600; }
QPushButton#segment { border-radius: 0; border-right-width: 0; padding: 4px 12px; }
QPushButton#segment[place="first"] { border-top-left-radius: 6px; border-bottom-left-radius: 6px; }
QPushButton#segment[place="last"] {
  border-top-right-radius: 6px; border-bottom-right-radius: 6px; border-right-width: 1px;
}
QPushButton#segment:checked { background: $accent; color: $on_accent; border-color: $accent; }
QPushButton#segment:focus { border-color: $accent_hover; }

QWidget#layers { background: $panel; border: 1px solid $line; border-radius: 8px; }
QPushButton#layer { background: transparent; border: none; border-radius: 5px; padding: 3px 9px; color: $dim; }
QPushButton#layer:hover { background: $hover; color: $text; }
QPushButton#layer:checked { color: $text; background: $raised; }
QPushButton#layer:focus { color: $link; }
QPushButton#layer:disabled { color: rgba(128, 136, 150, 120); }

QLineEdit {
  background: $raised; color: $text; border: 1px solid $line; border-radius: 6px; padding: 4px 8px; min-height: 20px;
  selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit:focus { border-color: $accent; }
QLineEdit:disabled { color: $dim; background: $panel; }
QComboBox {
  background: $raised; color: $text; border: 1px solid $line; border-radius: 6px; padding: 4px 26px 4px 10px;
  min-height: 20px;
}
QComboBox:hover { background: $hover; }
QComboBox:focus { border-color: $accent; }
QComboBox::drop-down { border: none; width: 22px; }
QComboBox::down-arrow { image: url($arrow); width: 10px; height: 10px; }
QComboBox QAbstractItemView {
  background: $panel; color: $text; border: 1px solid $line; padding: 4px; outline: none;
  selection-background-color: $selected; selection-color: $text;
}
QListWidget#commands { background: $panel; }
QListView, QTreeView, QTableView { background: $panel; border: none; outline: none; color: $text; }
QListView:focus { border: none; }
QListWidget#datasets::item { padding: 4px 10px; }
QListWidget#datasets::item:hover { background: $hover; }
QListWidget#datasets::item:selected { background: $selected; color: $text; }
QTreeView#browser, QTableView#browser { background: $table; }
QTreeView#browser::item, QTableView#browser::item { padding: 0 6px; }
QTreeView#browser::item:hover, QTableView#browser::item:hover { background: $hover_line; }
QTreeView#browser::item:selected, QTableView#browser::item:selected { background: $selected; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QHeaderView { background: $panel; border: none; }
QHeaderView::section {
  background: $panel; color: $dim; border: none; border-bottom: 1px solid $line; padding: 4px 8px; font-size: 11px;
}
QHeaderView::section:hover { color: $text; }
QDialogButtonBox { dialogbuttonbox-buttons-have-icons: 0; }
QSplitter::handle { background: $line; }
QSplitter::handle:hover { background: $accent; }
QScrollArea, QScrollArea > QWidget > QWidget { background: $panel; border: none; }

QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $track; border-radius: 3px; margin: 2px; min-height: 28px; min-width: 28px; }
QScrollBar::handle:hover { background: $dim; }
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {
  background: none; border: none; width: 0; height: 0;
}

QSlider::groove:horizontal { height: 4px; background: $track; border-radius: 2px; }
QSlider::sub-page:horizontal { height: 4px; background: $accent; border-radius: 2px; }
QSlider::handle:horizontal {
  background: $knob; border: 1px solid $accent; width: 10px; height: 10px; margin: -4px 0; border-radius: 6px;
}
QSlider::handle:horizontal:focus { border: 2px solid $accent_hover; }
QProgressBar { background: $track; border: none; border-radius: 3px; height: 6px; max-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QFrame#message { border: none; border-radius: 0; }
QFrame#message[kind="error"] { background: $bad_back; }
QFrame#message[kind="error"] QLabel { color: $bad; }
QFrame#message[kind="warning"] { background: $warn_back; }
QFrame#message[kind="warning"] QLabel { color: $warn; }
QFrame#message[kind="info"] { background: $selected; }
QFrame#note { background: $panel; border-top: 1px solid $line; }

QDialog { background: $panel; }
QCheckBox, QRadioButton { spacing: 8px; }
QCheckBox::indicator, QRadioButton::indicator {
  width: 14px; height: 14px; border: 1px solid $dim; background: $raised; border-radius: 4px;
}
QRadioButton::indicator { border-radius: 8px; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url($check); }
QRadioButton::indicator:checked { background: $on_accent; border: 4px solid $accent; width: 8px; height: 8px; }
QCheckBox::indicator:disabled { border-color: $line; }
QCheckBox:focus, QRadioButton:focus { color: $link; }
QGroupBox { border: none; margin-top: 20px; font-weight: 600; }
QGroupBox::title { subcontrol-origin: margin; left: 0; color: $dim; }
""")


def style_sheet(tones: Tones) -> str:
    """The style sheet in these tones."""
    # Arrow and check mark must be files: style sheets take no other image.
    icons = resource_folder("icons")
    arrow = icons / ("arrow-dark.svg" if tones.dark else "arrow-light.svg")
    values = {name: getattr(tones, name) for name in tones.__dataclass_fields__}
    return _SHEET.substitute(
        values,
        arrow=arrow.as_posix(),
        check=(icons / "check-white.svg").as_posix(),
        table=tones.base if tones.dark else tones.raised,
        hover_line=tones.panel,
        knob="#ffffff" if not tones.dark else tones.text,
    )
