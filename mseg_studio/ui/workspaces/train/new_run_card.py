"""One dataset of a run: which description, where it lies, which splits, and what was found there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.training.config import DatasetConfig
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.datasets.described import Described
from mseg_studio.ui.workspaces.train.form_check import DatasetFacts
from mseg_studio.ui.workspaces.train.form_editors import CalmCombo

_NO_TRAIN, _NO_VAL = "not trained on", "not judged by"


class DatasetCard(QFrame):
    """Shows a DatasetConfig and tells what a person changes of it."""

    changed = Signal(object)
    """The DatasetConfig as it is now."""
    description_asked = Signal(str)
    """Another description: a ready name or a path."""
    removed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("card")
        self.config = DatasetConfig("")
        self._theme = theme
        self.description = CalmCombo()
        self.description.setAccessibleName("Description of the dataset")
        self.description.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.description.activated.connect(lambda _index: self._on_description())
        self.remove = QToolButton()
        self.remove.setObjectName("flat")
        self.remove.setToolTip("Take this dataset out of the run")
        self.remove.setAccessibleName("Take this dataset out of the run")
        self.remove.clicked.connect(self.removed)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder that holds it")
        self.folder.setAccessibleName("Folder that holds the dataset")
        self.folder.textEdited.connect(lambda text: self._tell(root=text.strip()))
        self.browse = QPushButton("Choose…")
        self.browse.setAccessibleName("Choose the folder that holds the dataset")
        self.browse.clicked.connect(self._browse)
        self.train = self._split("Split to train on", "train_split")
        self.val = self._split("Split to judge by", "val_split")
        self.words = QLabel()
        self.words.setObjectName("small")
        self.words.setWordWrap(True)
        self.more = QToolButton()
        self.more.setObjectName("flat")
        self.more.setCheckable(True)
        self.more.setText("More")
        self.more.setToolTip("Name in the metrics, images that are left out")
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the dataset in this run")
        self.name.textEdited.connect(lambda text: self._tell(name=text.strip()))
        self.leave_out = QLineEdit()
        self.leave_out.setPlaceholderText("none; starts of file names, as 0001TP, 0006R0")
        self.leave_out.setAccessibleName("Training images that are left out")
        self.leave_out.textEdited.connect(lambda text: self._tell(leave_out=_names(text)))
        self._lay_out()
        theme.changed.connect(self._retint)
        self._retint()

    def _lay_out(self) -> None:
        first, second, third = (_row() for _ in range(3))
        first.addWidget(self.description, 1)
        first.addWidget(self.more)
        first.addWidget(self.remove)
        second.addWidget(self.folder, 1)
        second.addWidget(self.browse)
        for text, combo in (("train", self.train), ("judge", self.val)):
            label = QLabel(text)
            label.setObjectName("small")
            label.setBuddy(combo)
            third.addWidget(label)
            third.addWidget(combo, 1)
        extra = QWidget()
        lines = QVBoxLayout(extra)
        lines.setContentsMargins(0, 0, 0, 0)
        for text, field in (("name", self.name), ("leave out", self.leave_out)):
            line = _row()
            label = QLabel(text)
            label.setObjectName("small")
            label.setFixedWidth(56)
            line.addWidget(label)
            line.addWidget(field, 1)
            lines.addLayout(line)
        extra.hide()
        self.more.toggled.connect(extra.setVisible)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 8, 8)
        column.setSpacing(6)
        for row in (first, second, third):
            column.addLayout(row)
        column.addWidget(extra)
        column.addWidget(self.words)

    def offer(self, described: Sequence[Described]) -> None:
        """The descriptions to choose among."""
        self.description.clear()
        for one in described:
            self.description.addItem(one.name, one.key)
            self.description.setItemData(self.description.count() - 1, one.title or one.key, _TIP)
        self.description.addItem("Open a description…", "")
        self.show_config(self.config, {})

    def show_config(self, config: DatasetConfig, described: Mapping[str, Described]) -> None:
        """Show a dataset; `described` by key for its splits."""
        self.config = config
        index = self.description.findData(config.description)
        if index < 0 and config.description:
            one = described.get(config.description)
            self.description.insertItem(0, one.name if one else config.name, config.description)
            self.description.setItemData(0, config.description, _TIP)
            index = 0
        self.description.setCurrentIndex(index)
        one = described.get(config.description)
        if self.folder.text().strip() != config.root:
            self.folder.setText(config.root)
        if one is not None:
            self.folder.setPlaceholderText(f"as it says: {one.root}" if one.root else "Folder that holds it")
            self.description.setToolTip("\n\n".join(part for part in (one.title, one.needs) if part))
        for combo, chosen, none in ((self.train, config.train_split, _NO_TRAIN), (self.val, config.val_split, _NO_VAL)):
            splits = one.splits if one is not None else (chosen,)
            combo.blockSignals(True)
            combo.clear()
            for split in dict.fromkeys((*splits, *filter(None, (chosen,)))):
                combo.addItem(split, split)
            combo.addItem(none, "")
            combo.setCurrentIndex(combo.findData(chosen))
            combo.blockSignals(False)
        if self.name.text().strip() != config.name:
            self.name.setText(config.name)
        if _names(self.leave_out.text()) != config.leave_out:
            self.leave_out.setText(", ".join(config.leave_out))

    def show_facts(self, facts: DatasetFacts | None) -> None:
        """Say what was found, or that it is being looked for."""
        wrong = facts is not None and bool(facts.problem)
        self.words.setText("Looking…" if facts is None else facts.words)
        ignored = ", ".join(facts.without_target) if facts is not None else ""
        self.words.setToolTip(f"No class of the network's taxonomy, so ignored: {ignored}" if ignored else "")
        name = "wrong" if wrong else "small"
        if self.words.objectName() != name:
            self.words.setObjectName(name)
            self.words.style().unpolish(self.words)
            self.words.style().polish(self.words)

    def _split(self, name: str, key: str) -> CalmCombo:
        combo = CalmCombo()
        combo.setAccessibleName(name)
        combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        combo.setToolTip(name)
        combo.activated.connect(lambda _index: self._tell(**{key: str(combo.currentData() or "")}))
        return combo

    def _tell(self, **values: object) -> None:
        self.config = dataclasses.replace(self.config, **values)  # type: ignore[arg-type]
        self.changed.emit(self.config)

    def _on_description(self) -> None:
        key = str(self.description.currentData() or "")
        if not key:
            key, _kind = QFileDialog.getOpenFileName(self, "Open a description", "", "Descriptions (*.yaml *.yml)")
        if key:
            self.description_asked.emit(key)
        else:
            self.description.setCurrentIndex(self.description.findData(self.config.description))

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder that holds the dataset", self.folder.text())
        if folder:
            self.folder.setText(folder)
            self._tell(root=folder)

    def _retint(self) -> None:
        self.remove.setIcon(self._theme.icon("close"))


_TIP = 3  # Qt.ItemDataRole.ToolTipRole


def _row() -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(6)
    return row


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class DropHint(QFrame):
    """Where nothing is chosen yet: what to do."""

    folder_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("drop")
        words = QLabel("Drop the folder of a dataset here, or choose it.\nIts layout is recognised.")
        words.setObjectName("dim")
        words.setWordWrap(True)
        self.choose = QPushButton("Choose a folder…")
        self.choose.clicked.connect(self.folder_asked)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(words)
        column.addWidget(self.choose)
