"""What a run starts from: the recipe, the start weights, the name and the folder."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.training.config import RANDOM
from mseg_studio.training.recipes import Recipe
from mseg_studio.ui.services import ModelChoice
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.train.form_editors import CalmCombo

_FILE = "\0file"
_WEIGHTS = "Weights (*.pth *.pt *.tar *.ckpt *.bin *.safetensors);;All files (*)"


class RecipeBox(QWidget):
    """A list of recipes with their words."""

    chosen = Signal(str)
    """Name of a recipe."""

    def __init__(self) -> None:
        super().__init__()
        self.combo = CalmCombo()
        self.combo.setAccessibleName("Recipe")
        self.combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.combo.activated.connect(lambda _index: self._on_choice())
        self.about = QLabel()
        self.about.setObjectName("small")
        self.about.setWordWrap(True)
        column = _boxed(self, "Recipe")
        column.addWidget(self.combo)
        column.addWidget(self.about)

    def offer(self, recipes: Sequence[Recipe]) -> None:
        """The recipes to choose among."""
        for recipe in recipes:
            self.combo.addItem(f"{recipe.name}: {recipe.title}", recipe.name)
            self.combo.setItemData(self.combo.count() - 1, f"{recipe.name}: {recipe.about}", 3)

    def show_recipe(self, recipe: Recipe, *, copied: str = "") -> None:
        """Show what the values come from; `copied` names the run that is copied."""
        index = self.combo.findData(recipe.name) if recipe.name else -1
        if index < 0:
            self.combo.setCurrentIndex(-1)
            self.combo.setPlaceholderText(recipe.title)
        else:
            self.combo.setCurrentIndex(index)
        self.combo.setToolTip(f"{recipe.name}: {recipe.title}" if recipe.name else recipe.title)
        self.about.setText(f"A copy of {copied}. {recipe.about}" if copied and recipe.name else recipe.about)

    def _on_choice(self) -> None:
        self.chosen.emit(str(self.combo.currentData()))


class StartBox(QWidget):
    """Random weights, an installed model or a checkpoint file: always a choice, never a silent default."""

    chosen = Signal(str)
    """As TrainConfig.start."""

    def __init__(self) -> None:
        super().__init__()
        self.combo = CalmCombo()
        self.combo.setAccessibleName("Start weights")
        self.combo.setPlaceholderText("Choose the start weights…")
        self.combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.combo.activated.connect(lambda _index: self._on_choice())
        self.note = QLabel()
        self.note.setObjectName("small")
        self.note.setWordWrap(True)
        self._start = ""
        column = _boxed(self, "Start weights")
        column.addWidget(self.combo)
        column.addWidget(self.note)

    def offer(self, models: Sequence[ModelChoice]) -> None:
        """Random weights, these models, a file."""
        self.combo.clear()
        self.combo.addItem("Random weights", RANDOM)
        for model in models:
            count = len(model.trained_classes) or model.num_classes
            self.combo.addItem(f"{model.name}  ·  {count} classes of {model.taxonomy}", model.name)
        self.combo.addItem("A checkpoint file…", _FILE)
        self.show_start(self._start, problem="")

    def show_start(self, start: str, *, problem: str) -> None:
        """Show a choice, or that there is none."""
        self._start = start
        index = self.combo.findData(start) if start else -1
        if index < 0 and start:
            self.combo.insertItem(self.combo.count() - 1, start, start)
            index = self.combo.findData(start)
        self.combo.setCurrentIndex(index)
        self.combo.setToolTip(start)
        words = problem
        if not words and not start:
            words = "There is no default: the choice decides the result more than most settings do."
        self.note.setText(words)
        self.note.setVisible(bool(words))
        self.note.setObjectName("wrong" if problem else "small")
        self.note.style().unpolish(self.note)
        self.note.style().polish(self.note)

    def _on_choice(self) -> None:
        key = str(self.combo.currentData())
        if key == _FILE:
            key, _kind = QFileDialog.getOpenFileName(self, "Start weights", "", _WEIGHTS)
        if key:
            self.chosen.emit(key)
        else:
            self.show_start(self._start, problem="")


class NameBox(QWidget):
    """The name of the run and of its model, and its folder."""

    named = Signal(str)
    folder_chosen = Signal(str)
    """Empty: among the other runs."""

    def __init__(self) -> None:
        super().__init__()
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the run")
        self.name.setPlaceholderText("Name of the run and of its model")
        self.name.setMaxLength(100)
        self.name.textEdited.connect(lambda text: self.named.emit(text.strip()))
        self.folder = QLineEdit()
        self.folder.setAccessibleName("Folder of the run")
        self.folder.textEdited.connect(lambda text: self.folder_chosen.emit(text.strip()))
        self.browse = QPushButton("Choose…")
        self.browse.setAccessibleName("Choose the folder of the run")
        self.browse.clicked.connect(self._browse)
        self.note = QLabel()
        self.note.setObjectName("wrong")
        self.note.setWordWrap(True)
        self.note.hide()
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.folder, 1)
        row.addWidget(self.browse)
        column = _boxed(self, "Name and folder")
        column.addWidget(self.name)
        column.addLayout(row)
        column.addWidget(self.note)

    def show_name(self, name: str, *, place: str, problem: str) -> None:
        """Show the name, the folder that it would get, and what is wrong with it."""
        if self.name.text().strip() != name:
            self.name.setText(name)
        self.folder.setPlaceholderText(place)
        self.folder.setToolTip(self.folder.text() or place)
        self.note.setText(problem)
        self.note.setVisible(bool(problem))

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "An empty folder for the run", self.folder.text())
        if folder:
            self.folder.setText(folder)
            self.folder_chosen.emit(folder)


def _boxed(box: QWidget, title: str) -> QVBoxLayout:
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(6)
    column.addWidget(Heading(title))
    return column
