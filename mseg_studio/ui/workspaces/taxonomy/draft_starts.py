"""What a taxonomy of one's own can start from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtWidgets import QMenu, QWidget

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.draft import Draft, draft_of

_FIRST_NAME = "my-taxonomy"


def free_name(catalog: Catalog, wanted: str = _FIRST_NAME) -> str:
    """`wanted`, with a number where there is a taxonomy called so."""
    taken = {name.casefold() for name in catalog.names()}
    number, name = 1, wanted
    while name.casefold() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def by_parent(catalog: Catalog) -> Draft:
    """The universal taxonomy with one class for every parent; classes without a parent stay alone."""
    groups: dict[str, list[str]] = {}
    for info in catalog.taxonomy(UNIVERSAL).classes:
        groups.setdefault(info.name if info.parent is None else info.parent, []).append(info.name)
    draft = Draft(free_name(catalog))
    for members in groups.values():
        draft = draft.add(members)
    return draft


def copy_of(catalog: Catalog, name: str) -> Draft:
    """The classes of a taxonomy under a new name. Raises TaxonomyError where the universal one has no links to it."""
    return draft_of(catalog.table(name)).named(free_name(catalog, f"{name}-copy"))


def editable(catalog: Catalog) -> tuple[str, ...]:
    """Taxonomies of the user that a draft can hold."""
    found = []
    for choice in catalog.outputs(UNIVERSAL):
        if choice.name != UNIVERSAL and not catalog.is_shipped(choice.name):
            try:
                draft_of(catalog.table(choice.name))
            except TaxonomyError:
                continue
            found.append(choice.name)
    return tuple(sorted(found))


class StartMenu(QMenu):
    """Empty, by parent, a subset, an own taxonomy again, a copy of any other; filled when it opens."""

    def __init__(
        self,
        catalog: Catalog,
        parent: QWidget,
        *,
        begin: Callable[[Callable[[], Draft]], object],
        edit: Callable[[str], object],
        subset: Callable[[], object],
    ) -> None:
        """`begin` gets a function that makes the draft; `edit` the name of an own taxonomy; `subset` asks for words."""
        super().__init__(parent)
        self._catalog, self._begin, self._edit, self._subset = catalog, begin, edit, subset
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Offer what there is now."""
        self.clear()
        self.addAction("Empty", lambda: self._begin(lambda: Draft(free_name(self._catalog))))
        self.addAction("Universal classes by parent", lambda: self._begin(lambda: by_parent(self._catalog)))
        self.addAction("A subset of classes…", self._subset)
        own = editable(self._catalog)
        mine = self.addMenu("Edit my taxonomy")
        mine.setEnabled(bool(own))
        for name in own:
            mine.addAction(name, partial(self._edit, name))
        copies = self.addMenu("Copy of")
        for choice in self._catalog.outputs(UNIVERSAL):
            copies.addAction(choice.name, partial(self._begin, partial(copy_of, self._catalog, choice.name)))
