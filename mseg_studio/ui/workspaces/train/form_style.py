"""The look of the form of a new run: what the window's own style sheet does not know."""

from __future__ import annotations

from string import Template

from mseg_studio.ui.theme import Tones

_SHEET = Template("""
QFrame#card { background: $card; border: 1px solid $line; border-radius: 8px; }
QFrame#drop { background: transparent; border: 1px dashed $dim; border-radius: 8px; }
QFrame#drop[over="yes"] { border-color: $accent; background: $selected; }
QLabel#changed { color: $warn; font-size: 12px; }
QLabel#wrong { color: $bad; font-size: 12px; }
QLabel#number { font-size: 22px; font-weight: 600; }
QLabel#section { font-weight: 600; }
QLineEdit[state="changed"], QComboBox[state="changed"] { border-color: $warn; }
QLineEdit[state="wrong"], QComboBox[state="wrong"] { border-color: $bad; }
QCheckBox[state="changed"] { color: $warn; }
QToolButton#group {
  background: transparent; border: 1px solid transparent; border-radius: 5px; padding: 3px 4px; font-weight: 600;
  text-align: left;
}
QToolButton#group:hover { background: $hover; }
QToolButton#group:focus { border-color: $accent; }
QPlainTextEdit {
  background: $raised; color: $text; border: 1px solid $line; border-radius: 6px; padding: 4px;
  selection-background-color: $accent; selection-color: $on_accent;
}
QPlainTextEdit:focus { border-color: $accent; }
QPlainTextEdit#line { background: $base; border-color: $base; }
QWidget#strip { background: $base; }
QScrollArea#form, QScrollArea#form > QWidget > QWidget { background: $panel; }
""")


def form_style(tones: Tones) -> str:
    """The style sheet in these tones."""
    values = {name: getattr(tones, name) for name in tones.__dataclass_fields__}
    return _SHEET.substitute(values, card=tones.raised if not tones.dark else tones.base)
