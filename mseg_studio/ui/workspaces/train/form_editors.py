"""One editor for each kind of setting. All give and take plain values, and text that means nothing as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QWidget

from mseg_studio.training.config_fields import ConfigField
from mseg_studio.ui.workspaces.train.form_values import shown, typed


class SettingEditor(QWidget):
    """A field for one setting; `edited` is emitted for what a person does, not for `show_value`."""

    edited = Signal(object)
    """The plain value that is meant."""

    def __init__(self, one: ConfigField, suggestions: Sequence[str] = ()) -> None:
        super().__init__()
        self.one = one
        self.field = self._make(suggestions)
        self.field.setAccessibleName(one.path.replace("_", " ").replace(".", " "))
        self.field.setAccessibleDescription(one.help)
        self.setFocusProxy(self.field)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.field)

    def value(self) -> Any:
        """What stands in the field."""
        if isinstance(self.field, QCheckBox):
            return self.field.isChecked()
        text = self.field.currentText() if isinstance(self.field, QComboBox) else self.field.text()
        return typed(text, self.one)

    def show_value(self, value: Any) -> None:
        """Show a value; text that already means it stays as it was typed."""
        if self.value() == value and type(self.value()) is type(value):
            return
        self.field.blockSignals(True)
        if isinstance(self.field, QCheckBox):
            self.field.setChecked(bool(value))
        elif isinstance(self.field, QLineEdit):
            self.field.setText(shown(value))
        elif self.field.isEditable():
            self.field.setEditText(shown(value))
        else:
            self.field.setCurrentIndex(self.field.findText(shown(value)))
        self.field.blockSignals(False)
        self._say_yes_or_no()

    def show_state(self, state: str) -> None:
        """`changed`, `wrong` or nothing: the tone of its edge."""
        if self.field.property("state") != state:
            self.field.setProperty("state", state)
            self.field.style().unpolish(self.field)
            self.field.style().polish(self.field)

    def _make(self, suggestions: Sequence[str]) -> QCheckBox | QComboBox | QLineEdit:
        if self.one.kind == "yes_no":
            box = QCheckBox("no")
            box.toggled.connect(lambda _on: self._on_edit())
            return box
        if self.one.kind == "choice" or suggestions:
            combo = CalmCombo()
            combo.addItems([*self.one.choices, *suggestions])
            combo.setEditable(self.one.kind != "choice")
            combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(10)
            combo.currentTextChanged.connect(lambda _text: self._on_edit())
            return combo
        line = QLineEdit()
        line.setPlaceholderText("none" if self.one.optional else "")
        line.textEdited.connect(lambda _text: self._on_edit())
        return line

    def _on_edit(self) -> None:
        self._say_yes_or_no()
        self.edited.emit(self.value())

    def _say_yes_or_no(self) -> None:
        if isinstance(self.field, QCheckBox):
            self.field.setText("yes" if self.field.isChecked() else "no")


class CalmCombo(QComboBox):
    """A choice that the wheel changes only while it has the keys: a form is scrolled over it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Leave the wheel to the form."""
        if event.type() == QEvent.Type.Wheel and not self.hasFocus():
            event.ignore()
            return True
        return False


class CountCombo(CalmCombo):
    """A whole number of a few, from 1 on."""

    value_changed = Signal(int)

    def __init__(self, most: int, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.set_most(most)
        self.currentIndexChanged.connect(lambda index: self.value_changed.emit(index + 1))

    def value(self) -> int:
        """The number."""
        return max(1, self.currentIndex() + 1)

    def set_value(self, value: int) -> None:
        """Choose a number, or the nearest that there is."""
        self.setCurrentIndex(max(0, min(value, self.count()) - 1))

    def set_most(self, most: int) -> None:
        """Offer 1 to `most`."""
        before = self.value()
        self.blockSignals(True)
        self.clear()
        self.addItems([str(number) for number in range(1, most + 1)])
        self.blockSignals(False)
        self.set_value(before)
