"""A taxonomy being made by hand: drop, merge, rename and colour universal classes, save, use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.draft import Draft, draft_of, save_draft, subset
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel, Heading
from mseg_studio.ui.workspaces.taxonomy.draft_history import DraftHistory
from mseg_studio.ui.workspaces.taxonomy.draft_model import Edit
from mseg_studio.ui.workspaces.taxonomy.draft_questions import Question
from mseg_studio.ui.workspaces.taxonomy.draft_starts import StartMenu, free_name
from mseg_studio.ui.workspaces.taxonomy.draft_tree import DraftTree
from mseg_studio.ui.workspaces.taxonomy.left_out import LeftOut

_REST = "other"
_UNSAVED = "Not saved yet"


class DraftEditor(QWidget):
    """`saved` and `output_chosen` carry the taxonomy's name."""

    saved = Signal(str)
    output_chosen = Signal(str)

    def __init__(self, catalog: Catalog, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._catalog, self._theme = catalog, theme
        self.history = DraftHistory()
        self._accepted: frozenset[str] = frozenset()
        """Names that the person chose or kept; one that was made up is asked about when saving."""
        self._file: str | None = None
        """Name of the file that this draft was read from or last saved as: it may be replaced."""
        self._said, self._bad = "", False
        """What the line at the foot says, and whether that is a failure."""
        self.heading = Heading()
        self.undo = _tool("undo", "Undo (Ctrl+Z)")
        self.redo = _tool("redo", "Redo (Ctrl+Shift+Z)")
        self.new = QToolButton()
        self.new.setText("New ▾")
        self.new.setObjectName("flat")
        self.new.setAccessibleName("New taxonomy: choose what to start from")
        self.new.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.starts = StartMenu(catalog, self, begin=self.begin, edit=self.edit_saved, subset=self.ask_subset)
        self.new.setMenu(self.starts)
        self.tree = DraftTree(catalog.taxonomy(UNIVERSAL), theme)
        self.left_out = LeftOut()
        self.question = Question()
        self.line = ElidedLabel()
        self.foot = QWidget()
        self.use = QPushButton("Use as output")
        self.use.setToolTip("Save, and show the open image in this taxonomy")
        self.save_button = QPushButton("Save")
        self.rename_button = QPushButton("Rename…")
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(12, 4, 8, 0)
        head.setSpacing(2)
        head.addWidget(self.heading, 1)
        for button in (self.undo, self.redo, self.new):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            head.addWidget(button)
        foot = QHBoxLayout(self.foot)
        foot.setContentsMargins(12, 8, 12, 10)
        foot.setSpacing(8)
        for action in (self.use, self.save_button, self.rename_button):
            action.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            foot.addWidget(action)
        foot.addStretch(1)
        line = QHBoxLayout()
        line.setContentsMargins(12, 2, 12, 0)
        self.line.setMinimumHeight(20)
        line.addWidget(self.line)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.tree, 1)
        column.addWidget(self.left_out)
        column.addWidget(self.question)
        column.addLayout(line)
        column.addWidget(self.foot)

    def _connect(self) -> None:
        self.tree.edit_asked.connect(self.apply)
        self.tree.undo_asked.connect(lambda: self._step(back=True))
        self.tree.redo_asked.connect(lambda: self._step(back=False))
        self.undo.clicked.connect(lambda: self._step(back=True))
        self.redo.clicked.connect(lambda: self._step(back=False))
        self.question.opened.connect(self._make_room)
        self.left_out.rest_clicked.connect(self._take_rest)
        self.left_out.menu_asked.connect(lambda names, at: self.add_menu(names).popup(at))
        self.save_button.clicked.connect(lambda: self.save())
        self.use.clicked.connect(lambda: self.save(self.output_chosen.emit))
        self.rename_button.clicked.connect(lambda: self._ask_name("What is this taxonomy called?"))
        self._theme.changed.connect(self._retint)
        self._retint()

    @property
    def draft(self) -> Draft | None:
        """The draft as it is now."""
        return self.history.draft

    @property
    def unsaved(self) -> bool:
        """Whether there is work that is in no file."""
        return self.history.unsaved

    # -- beginning -----------------------------------------------------------------------------------------------

    def start(self, button: QWidget | None = None) -> None:
        """Open the menu of what to start from below `button`, else below New."""
        below = self.new if button is None else button
        self.starts.popup(below.mapToGlobal(QPoint(0, below.height())))

    def begin(self, make: Callable[[], Draft], *, safe: bool = True) -> None:
        """Start from what `make` gives; an unsaved draft is asked about first."""
        self._when_safe(lambda: self._begin(make, file=None, safe=safe))

    def edit_saved(self, name: str) -> None:
        """Go on with a taxonomy of the user; saving replaces its file."""
        self._when_safe(lambda: self._begin(lambda: draft_of(self._catalog.table(name)), file=name, safe=True))

    def ask_subset(self) -> None:
        """Ask which classes to take."""
        self.question.ask_text(
            "Which classes? Names, ids, aliases, parent:NAME or in:TAXONOMY, with commas between them.",
            text="",
            hint="parent:person, road, sky",
            button="Take these",
            then=self._subset,
        )

    def _subset(self, text: str) -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        name = free_name(self._catalog)
        try:
            draft = subset(self._catalog, words, name=name)
        except TaxonomyError as error:
            self._say(str(error), bad=True)
            return
        self.question.close_question()
        self.begin(lambda: draft, safe=False)

    def _when_safe(self, then: Callable[[], object]) -> None:
        """Do `then` once the present draft may go."""
        if not self.unsaved or self.draft is None:
            then()
            return
        answers = (("Save", lambda: self.save(lambda _name: then())), ("Discard", then))
        self.question.ask(f"'{self.draft.name}' has changes that are not saved.", answers)

    def _begin(self, make: Callable[[], Draft], *, file: str | None, safe: bool) -> None:
        try:
            draft = make()
        except TaxonomyError as error:
            self._say(str(error), bad=True)
            return
        self.question.close_question()
        self.history.begin(draft, safe=safe)
        self._file = file
        self._accepted = frozenset() if file is None else frozenset({file})
        self._say("")
        self._show()
        self.tree.setFocus()

    # -- editing -------------------------------------------------------------------------------------------------

    def apply(self, edit: Edit) -> bool:
        """Change the draft, one step to undo; False where it cannot be done, and the line says why."""
        before = self.draft or Draft(free_name(self._catalog))
        try:
            after = edit(before)
        except TaxonomyError as error:
            self._say(str(error), bad=True)
            self._show()
            return False
        if self.draft is None:
            self.history.begin(before, safe=True)
        self._say("")
        if self.history.push(after):
            self._show()
        return True

    def add_classes(self, names: Sequence[str], index: int | None = None) -> None:
        """Add universal classes to the class at `index`, or as one new class."""
        if index is None:
            if self.apply(lambda draft: draft.add(names)) and self.draft is not None:
                self.tree.choose(len(self.draft.classes) - 1)
        elif self.apply(lambda draft: draft.into(index, names)):
            self._choose_owner(names)

    def add_menu(self, names: Sequence[str]) -> QMenu:
        """What these universal classes can be added to."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Make a new class", lambda: self.add_classes(names))
        menu.addSeparator()
        for place, item in enumerate(self.draft.classes if self.draft is not None else ()):
            menu.addAction(f"Add to {item.name}", partial(self.add_classes, names, place))
        return menu

    def _choose_owner(self, names: Sequence[str]) -> None:
        classes = self.draft.classes if self.draft is not None else ()
        place = next((at for at, item in enumerate(classes) if set(names) & set(item.members)), None)
        if place is not None:
            self.tree.choose(place)

    def _take_rest(self) -> None:
        draft = self.draft
        if draft is None:
            return
        names = draft.left_out(self._catalog.taxonomy(UNIVERSAL))
        taken = {item.name for item in draft.classes}
        name = next(name for name in (_REST, *(f"{_REST} {n}" for n in range(2, 1000))) if name not in taken)
        if self.apply(lambda draft: draft.add(names, name=name)):
            self.tree.choose(len(draft.classes), rename=True)

    def _step(self, *, back: bool) -> None:
        if back:
            self.history.undo()
        else:
            self.history.redo()
        self._say("")
        self._show()

    # -- saving --------------------------------------------------------------------------------------------------

    def save(self, then: Callable[[str], object] | None = None) -> None:
        """Write the file, asking for a name the first time; `then` gets the name once it is written."""
        draft = self.draft
        if draft is None or not draft.classes:
            self._say("There is no class to save yet.", bad=True)
        elif draft.name not in self._accepted:
            self._ask_name("What is this taxonomy called?", then=lambda: self.save(then))
        elif draft.name != self._file and self._is_mine(draft.name):
            answers = (("Replace it", lambda: self._write(draft, then)), ("Another name…", lambda: self._other(then)))
            self.question.ask(f"You have a taxonomy '{draft.name}' already.", answers)
        else:
            self._write(draft, then)

    def _other(self, then: Callable[[str], object] | None) -> None:
        self._ask_name("What is this taxonomy called?", then=lambda: self.save(then))

    def _is_mine(self, name: str) -> bool:
        return name in self._catalog.names() and not self._catalog.is_shipped(name)

    def _write(self, draft: Draft, then: Callable[[str], object] | None) -> None:
        try:
            path = save_draft(draft, self._catalog, replace=self._is_mine(draft.name))
        except TaxonomyError as error:
            self._say(str(error), bad=True)
            if self._catalog_has_shipped(draft.name):
                self._other(then)
            return
        self._file = draft.name
        self.history.mark_saved()
        self._show()
        self._say(f"Saved as {path.name}: {len(draft.classes)} classes")
        self.line.setToolTip(str(path))
        self.saved.emit(draft.name)
        if then is not None:
            then(draft.name)

    def _catalog_has_shipped(self, name: str) -> bool:
        return name in self._catalog.names() and self._catalog.is_shipped(name)

    def _ask_name(self, words: str, then: Callable[[], object] | None = None) -> None:
        draft = self.draft
        if draft is None:
            return

        def take(name: str) -> None:
            if self.apply(lambda draft: draft.named(name)):
                self._accepted |= {name}
                self.question.close_question()
                self._show()
                if then is not None:
                    then()

        hint = "such as delivery-robot; it becomes the file's name"
        self.question.ask_text(words, text=draft.name, hint=hint, button="Save" if then else "Rename", then=take)

    # -- showing -------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """The catalog changed."""
        self.tree.classes.set_universal(self._catalog.taxonomy(UNIVERSAL))
        self._show()

    def _show(self) -> None:
        draft = self.draft
        self.heading.setText("My taxonomy" if draft is None else f"My taxonomy · {draft.name}")
        self.tree.show_draft(draft)
        self.left_out.setVisible(draft is not None and self.question.isHidden())
        if draft is not None:
            universal = self._catalog.taxonomy(UNIVERSAL)
            self.left_out.show_names(draft.left_out(universal), universal)
        self._show_line()
        self.undo.setEnabled(self.history.can_undo)
        self.redo.setEnabled(self.history.can_redo)
        classes = draft is not None and bool(draft.classes)
        for button in (self.use, self.save_button, self.rename_button):
            button.setEnabled(classes)

    def _make_room(self, asked: bool) -> None:
        """A question takes the place of what cannot be used meanwhile, so the parts above keep theirs."""
        self.foot.setHidden(asked)
        self.left_out.setVisible(self.draft is not None and not asked)

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._said, self._bad = text, bad
        self._show_line()

    def _show_line(self) -> None:
        tones = self._theme.tones
        self.line.setStyleSheet(f"color: {tones.bad if self._bad else tones.dim}")
        self.line.setText(self._said or (_UNSAVED if self.unsaved else ""))

    def _retint(self) -> None:
        self._show_line()
        self.undo.setIcon(self._theme.icon("undo"))
        self.redo.setIcon(self._theme.icon("redo"))


def _tool(name: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName("flat")
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    return button
