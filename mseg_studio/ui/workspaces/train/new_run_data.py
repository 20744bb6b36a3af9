"""The data of a run: its datasets as cards; folders and descriptions are dropped here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from mseg_studio.errors import MSegStudioError
from mseg_studio.training.config import DatasetConfig
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.datasets.described import Described, describe, describe_ready
from mseg_studio.ui.workspaces.train.form_check import DatasetFacts
from mseg_studio.ui.workspaces.train.new_run_card import DatasetCard, DropHint
from mseg_studio.ui.workspaces.train.new_run_folders import chosen, dataset_at
from mseg_studio.ui.workspaces.train.new_run_memory import Memory


class DataBox(QWidget):
    """Shows the datasets of a draft and tells what a person makes of them."""

    changed = Signal(object)
    """All datasets, a tuple of DatasetConfig."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.memory = Memory()
        self.datasets: tuple[DatasetConfig, ...] = ()
        self.described: dict[str, Described] = {}
        self.cards: list[DatasetCard] = []
        self.hint = DropHint()
        self.hint.folder_asked.connect(self._ask_folder)
        self.problem = QLabel()
        self.problem.setObjectName("wrong")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.add = QPushButton("Add a dataset")
        self.add.setToolTip("A folder, a description, or one of the ready descriptions")
        self._menu = QMenu(self.add)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.add.setMenu(self._menu)
        self.setAcceptDrops(True)
        self._cards = QVBoxLayout()
        self._cards.setSpacing(8)
        head = QHBoxLayout()
        head.addWidget(Heading("Data"), 1)
        head.addWidget(self.add)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addLayout(self._cards)
        column.addWidget(self.hint)
        column.addWidget(self.problem)
        in_background(self, describe_ready, self._on_ready)

    # -- what the page asks --------------------------------------------------------------------------------------

    def show_datasets(self, datasets: Sequence[DatasetConfig]) -> None:
        """Show these."""
        self.datasets = tuple(datasets)
        while len(self.cards) > len(datasets):
            card = self.cards.pop()
            self._cards.removeWidget(card)
            card.hide()
            card.deleteLater()
        while len(self.cards) < len(datasets):
            self._add_card()
        for card, config in zip(self.cards, datasets, strict=True):
            card.show_config(config, self.described)
            if config.description not in self.described:
                self._describe(config.description)
        self.hint.setVisible(not datasets)

    def show_facts(self, facts: Sequence[DatasetFacts] | None) -> None:
        """Say what was found of each; None while it is being looked for."""
        for number, card in enumerate(self.cards):
            card.show_facts(facts[number] if facts is not None and number < len(facts) else None)

    def add_path(self, path: str) -> None:
        """Add the dataset at a folder or a description file; what it is, is found out in the background."""
        self.problem.hide()
        where = Path(path).absolute()
        in_background(
            self, lambda: dataset_at(where), lambda found: self._on_found(found, where), failed=self._on_failed
        )

    def add_described(self, key: str) -> None:
        """Add the dataset of a description: a ready name or a path."""
        self.problem.hide()
        root = self.memory.folder_of(key)
        in_background(self, lambda: chosen(key, root=root), self._add, failed=self._on_failed)

    # -- what a person does --------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
            self._mark("yes")

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """It went elsewhere."""
        self._mark("")

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what was dropped."""
        self._mark("")
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.add_path(url.toLocalFile())

    def _mark(self, over: str) -> None:
        self.hint.setProperty("over", over)
        self.hint.style().unpolish(self.hint)
        self.hint.style().polish(self.hint)

    def _fill_menu(self) -> None:
        self._menu.clear()
        self._menu.addAction("Folder…").triggered.connect(self._ask_folder)
        self._menu.addAction("Description file…").triggered.connect(self._ask_file)
        self._menu.addSeparator()
        for key, one in self.described.items():
            action = self._menu.addAction(one.name)
            action.setToolTip(one.title)
            action.triggered.connect(lambda _checked=False, key=key: self.add_described(key))

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of a dataset")
        if folder:
            self.add_path(folder)

    def _ask_file(self) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, "Open a description", "", "Descriptions (*.yaml *.yml)")
        if path:
            self.add_described(path)

    # -- cards ---------------------------------------------------------------------------------------------------

    def _add_card(self) -> None:
        card = DatasetCard(self._theme)
        card.offer(tuple(self.described.values()))
        card.changed.connect(self._on_card)
        card.removed.connect(lambda card=card: self._tell(one for one in self.cards if one is not card))
        card.description_asked.connect(lambda key, card=card: self._on_description(card, key))
        self._cards.addWidget(card)
        self.cards.append(card)

    def _on_card(self, config: DatasetConfig) -> None:
        if config.root and Path(config.root).is_dir():
            self.memory.remember_folder(config.description, config.root)
        self._tell(self.cards)

    def _tell(self, cards: Iterable[DatasetCard]) -> None:
        """The cards as they are now are the data."""
        self.changed.emit(tuple(card.config for card in cards))

    def _on_description(self, card: DatasetCard, key: str) -> None:
        root = self.memory.folder_of(key)

        def use(config: DatasetConfig) -> None:
            if card in self.cards:
                card.config = dataclasses.replace(config, name=self._free_name(config.name, beside=card))
                self._tell(self.cards)

        in_background(self, lambda: chosen(key, root=root), use, failed=self._on_failed)

    def _on_found(self, found: DatasetConfig | None, where: Path) -> None:
        if found is None:
            self.problem.setText(
                f"{where.name}: no ready description fits this folder. Add the dataset by its description, or write "
                "one (docs/datasets.md)."
            )
            self.problem.show()
            return
        self._add(found)

    def _add(self, config: DatasetConfig) -> None:
        if config.root:
            self.memory.remember_folder(config.description, config.root)
        for number, card in enumerate(self.cards):  # a folder for a dataset that waits for its own
            if card.config.description == config.description and not card.config.root and config.root:
                waiting = dataclasses.replace(card.config, root=config.root)
                self.changed.emit((*self.datasets[:number], waiting, *self.datasets[number + 1 :]))
                return
        named = dataclasses.replace(config, name=self._free_name(config.name))
        self.changed.emit((*self.datasets, named))

    def _free_name(self, name: str, *, beside: DatasetCard | None = None) -> str:
        taken = {card.config.name for card in self.cards if card is not beside}
        number, found = 1, name
        while found in taken:
            number += 1
            found = f"{name}-{number}"
        return found

    def _on_failed(self, error: MSegStudioError) -> None:
        self.problem.setText(str(error))
        self.problem.show()

    # -- descriptions --------------------------------------------------------------------------------------------

    def _on_ready(self, described: Sequence[Described]) -> None:
        self.described = {one.key: one for one in described if not one.problem} | self.described
        for card in self.cards:
            card.offer(tuple(self.described.values()))
        self.show_datasets(self.datasets)

    def _describe(self, key: str) -> None:
        """Find out the splits of a description that is not among the ready ones."""
        if key:
            in_background(self, lambda: describe(key), self._on_described)

    def _on_described(self, one: Described) -> None:
        if not one.problem and one.key not in self.described:
            self.described[one.key] = one
            self.show_datasets(self.datasets)
