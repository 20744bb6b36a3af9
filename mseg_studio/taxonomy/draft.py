"""A custom taxonomy while it is made: classes of the user, each a set of universal classes.

A draft is a value: every edit gives a new one, so undoing is keeping the one before. A universal class belongs to one
class of the draft or to none, and then has no target. Ids are positions from 0; a saved draft is a taxonomy like any
other.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mseg_studio.errors import TaxonomyError, printable
from mseg_studio.settings import user_folder
from mseg_studio.storage import write_atomic
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.class_words import chosen_classes
from mseg_studio.taxonomy.colours import Rgb, default_colour
from mseg_studio.taxonomy.file_name import check_taxonomy_name
from mseg_studio.taxonomy.finding import Findings
from mseg_studio.taxonomy.lint_yaml import lint_yaml
from mseg_studio.taxonomy.model import MAX_NAME, ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Links
from mseg_studio.taxonomy.table import TaxonomyTable, read_table
from mseg_studio.taxonomy.table_nodes import no_class
from mseg_studio.taxonomy.table_text import table_text

_REST_RGB = (96, 96, 96)
_MADE = "Made with MSeg Studio from universal classes"
_CUT = "Cut with MSeg Studio from"


class TaxonomyExistsError(TaxonomyError):
    """The person has a file of this name; only when asked to is it replaced."""


@dataclass(frozen=True, slots=True)
class DraftClass:
    """One class: universal classes whose probabilities are summed, under one name and colour."""

    name: str
    rgb: Rgb
    members: tuple[str, ...] = ()
    """Names of universal classes; nothing leads to a class without any."""

    def __post_init__(self) -> None:
        ClassInfo(0, self.name, self.rgb)  # the rules of every class
        if len(self.name) > MAX_NAME:
            raise TaxonomyError(
                f"class '{self.name[:40]}...' has a name of {len(self.name)} letters, at most {MAX_NAME}"
            )


@dataclass(frozen=True, slots=True)
class Draft:
    """A taxonomy being made. Names of classes are unique, and no universal class is in two of them.

    Every method raises TaxonomyError for an index, name or universal class that does not exist or cannot be taken.
    """

    name: str
    classes: tuple[DraftClass, ...] = ()
    links: Links = "exact"
    """`approximate` where the draft was cut from a taxonomy whose links are."""
    source: str = _MADE
    note: str = ""

    def __post_init__(self) -> None:
        check_taxonomy_name(self.name)
        names, owner = set[str](), dict[str, str]()
        for item in self.classes:
            if item.name in names:
                raise TaxonomyError(f"taxonomy '{self.name}' names class '{item.name}' twice")
            names.add(item.name)
            for member in _known(item.members):
                if member in owner:
                    where = f"'{owner[member]}' and '{item.name}'"
                    raise TaxonomyError(f"taxonomy '{self.name}': universal class '{member}' is in {where}")
                owner[member] = item.name

    def add(self, members: Iterable[str], *, name: str | None = None, rgb: Rgb | None = None) -> Draft:
        """A new class at the end that takes `members` from wherever they are; classes emptied by that go.

        Without `name` it is called like its one member, the common parent of several, or the first; without `rgb` it
        looks like the first member whose colour is free.
        """
        members = _known(members)
        if not members and name is None:
            raise TaxonomyError("a class without universal classes needs a name")
        rest = self.without(members)
        named = _default_name(members, rest.classes) if name is None else name
        taken = {item.rgb for item in rest.classes}
        colour = default_colour(_universal(), members, taken) if rgb is None else rgb
        return rest._with((*rest.classes, DraftClass(named, colour, members)))

    def merge(self, indices: Iterable[int]) -> Draft:
        """Classes as one; the first of `indices` keeps its name, colour and place."""
        chosen = list(dict.fromkeys(indices))
        if len(chosen) < 2:
            raise TaxonomyError("merging needs two classes or more")
        parts = [self._at(index) for index in chosen]
        merged = dataclasses.replace(parts[0], members=tuple(name for part in parts for name in part.members))
        gone = set(chosen[1:])
        return self._with(
            merged if index == chosen[0] else item for index, item in enumerate(self.classes) if index not in gone
        )

    def into(self, index: int, members: Iterable[str]) -> Draft:
        """The class at `index` with `members` as well, taken from wherever they are; classes emptied by that go."""
        target = self._at(index)
        new = tuple(name for name in _known(members) if name not in target.members)
        moved = dataclasses.replace(target, members=target.members + new)
        gone = set(new)
        kept = (moved if item is target else _less(item, gone) for item in self.classes)
        return self._with(item for item in kept if item is not None)

    def rename(self, index: int, name: str) -> Draft:
        """The class at `index` called `name`."""
        return self._changed(index, dataclasses.replace(self._at(index), name=name))

    def recolour(self, index: int, rgb: Rgb) -> Draft:
        """The class at `index` in another colour, three numbers 0 to 255."""
        return self._changed(index, dataclasses.replace(self._at(index), rgb=rgb))

    def remove(self, index: int) -> Draft:
        """Without the class at `index`; its universal classes have no target then."""
        gone = self._at(index)
        return self._with(item for item in self.classes if item is not gone)

    def without(self, members: Iterable[str]) -> Draft:
        """With these universal classes in no class; classes emptied by that go."""
        gone = set(_known(members))
        return self._with(kept for item in self.classes if (kept := _less(item, gone)) is not None)

    def moved(self, index: int, to: int) -> Draft:
        """The class at `index` at place `to`: its id."""
        item = self._at(index)
        self._at(to)
        others = [other for other in self.classes if other is not item]
        return self._with((*others[:to], item, *others[to:]))

    def named(self, name: str) -> Draft:
        """The same classes under another name of the taxonomy."""
        return dataclasses.replace(self, name=name)

    def left_out(self, universal: Taxonomy) -> tuple[str, ...]:
        """Universal classes in no class, in order of id: they have no target."""
        taken = {member for item in self.classes for member in item.members}
        return tuple(name for name in universal.names if name not in taken)

    def table(self, path: Path) -> TaxonomyTable:
        """The taxonomy as a file at `path` would hold it. Raises TaxonomyError without any class.

        A class of one universal class leads back to it and takes over its parent, WordNet id and aliases; labels of a
        merged class have no universal class.
        """
        infos = {info.name: info for info in _universal().classes}
        classes = []
        for index, item in enumerate(self.classes):
            one = infos[item.members[0]] if len(item.members) == 1 else None
            facts = (None, None, ()) if one is None else (one.parent, one.wordnet, one.aliases)
            classes.append(ClassInfo(index, item.name, item.rgb, *facts))
        ignore_id = 255 if len(classes) <= 255 else 65535
        back = {item.name: item.members[0] for item in self.classes if len(item.members) == 1}
        links = {member: item.name for item in self.classes for member in item.members}
        return TaxonomyTable(
            Taxonomy(self.name, tuple(classes), ignore_id, self.source),
            path,
            links=self.links,
            note=self.note,
            to_universal=MappingProxyType(back) if back else None,
            from_universal=MappingProxyType(links) if links else None,
        )

    def _at(self, index: int) -> DraftClass:
        if not 0 <= index < len(self.classes):
            raise TaxonomyError(f"taxonomy '{self.name}' has no class {index}, expected 0 to {len(self.classes) - 1}")
        return self.classes[index]

    def _changed(self, index: int, item: DraftClass) -> Draft:
        return self._with((*self.classes[:index], item, *self.classes[index + 1 :]))

    def _with(self, classes: Iterable[DraftClass]) -> Draft:
        return dataclasses.replace(self, classes=tuple(classes))


def draft_of(table: TaxonomyTable) -> Draft:
    """A saved taxonomy, or any other that the universal one has links to, to be edited.

    Ids become positions; `save_draft` does not replace a file that holds more than a draft can. Raises TaxonomyError
    where no links are known.
    """
    taxonomy = table.taxonomy
    if taxonomy.name == UNIVERSAL:
        links: Mapping[str, str] = {name: name for name in taxonomy.names}
    elif table.from_universal is None:
        raise TaxonomyError(f"no links lead from the universal taxonomy to '{taxonomy.name}'")
    else:
        links = table.from_universal
    members: dict[str, list[str]] = {name: [] for name in taxonomy.names}
    for member, name in links.items():
        members[name].append(member)
    return Draft(
        taxonomy.name,
        tuple(DraftClass(info.name, info.rgb, tuple(members[info.name])) for info in taxonomy.classes),
        links=table.links,
        source=taxonomy.source,
        note=table.note,
    )


def subset(catalog: Catalog, words: Sequence[str], *, name: str, of: str = UNIVERSAL, rest: str | None = None) -> Draft:
    """Taxonomy `of` cut to the classes that `words` choose, in the order in which they are chosen.

    A word is a name, an id, an alias, `parent:NAME`, `in:TAXONOMY` (what has a target there) or `@FILE` with a word a
    line. With `rest` a class of that name takes all other universal classes; else they have no target. Raises
    TaxonomyError for a word that chooses nothing and a taxonomy that the universal one has no links to.
    """
    whole = draft_of(catalog.table(of))
    by_name = {item.name: item for item in whole.classes}
    chosen = tuple(by_name[found] for found in chosen_classes(catalog, of, words))
    if not chosen:
        raise TaxonomyError("no class is chosen")
    draft = Draft(name, chosen, links=whole.links, source=f"{_CUT} {of}")
    if rest is None:
        return draft
    others = draft.left_out(catalog.taxonomy(UNIVERSAL))
    if not others:
        raise TaxonomyError(f"nothing is left over for class '{printable(rest)}'")
    free = _REST_RGB not in {item.rgb for item in chosen}
    return draft.add(others, name=rest, rgb=_REST_RGB if free else None)


def save_draft(draft: Draft, catalog: Catalog, folder: Path | None = None, *, replace: bool = False) -> Path:
    """Write the draft into `folder`, the user's when not given; every catalog of that folder has it at once.

    Raises TaxonomyError, and writes nothing, without any class, for the name of a shipped taxonomy, for one that is
    there already (unless `replace`), and for a file whose ids, aliases or links are not a draft's.
    """
    table = draft.table(Path())
    if table.from_universal is None:
        raise TaxonomyError(f"taxonomy '{draft.name}': no universal class leads to any of its classes")
    path = _path(draft.name, folder)
    if replace and path.exists() and _holds_more(path):
        reason = "has ids, aliases or links that would be lost: save under another name, or edit the file itself"
        raise TaxonomyError(reason, path=path)
    return save_table(table, catalog, folder, replace=replace)


def save_table(table: TaxonomyTable, catalog: Catalog, folder: Path | None = None, *, replace: bool = False) -> Path:
    """`save_draft` for a taxonomy that is complete already; `table.path` plays no part."""
    path, text = checked(table, catalog, folder, replace=replace)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise TaxonomyError(f"cannot be written: {error.strerror or error}", path=path) from error
    return path


def checked(table: TaxonomyTable, catalog: Catalog, folder: Path | None, *, replace: bool) -> tuple[Path, str]:
    """Where `save_table` would write, and what: refused names and files that are there raise TaxonomyError."""
    name = table.taxonomy.name
    check_taxonomy_name(name)
    for other in catalog.names():
        if other.casefold() == name.casefold() and (catalog.is_shipped(other) or other != name):
            raise TaxonomyError(f"'{name}' cannot be saved: there is a taxonomy '{other}' already; choose another name")
    path = _path(name, folder)
    if path.exists() and not replace:
        raise TaxonomyExistsError("is there already; choose another name, or ask to replace it", path=path)
    text, found = table_text(table), Findings(path)
    lint_yaml(text, catalog, found)
    for finding in found.errors:
        raise TaxonomyError(finding.message, path=path)
    return path, text


def _path(name: str, folder: Path | None) -> Path:
    return (folder or user_folder("taxonomies")) / f"{name}.yaml"


def _holds_more(path: Path) -> bool:
    """Whether the file says more than a draft of it would. A broken one says nothing."""
    try:
        table = read_table(path)
    except TaxonomyError:
        return False
    try:
        again = draft_of(table).table(path)
    except TaxonomyError:
        return True
    if table.to or (table.to_universal is not None and table.to_universal != again.to_universal):
        return True
    pairs = list(zip(table.taxonomy.classes, again.taxonomy.classes, strict=True))
    if table.taxonomy.source.startswith((_MADE, _CUT)):  # parents and aliases are what the universal taxonomy had then
        return any(old.id != new.id for old, new in pairs)
    return any(
        old.id != new.id
        or (old.parent or new.parent, old.wordnet or new.wordnet) != (new.parent, new.wordnet)
        or not set(old.aliases) <= set(new.aliases)
        for old, new in pairs
    )


@functools.cache
def _universal() -> Taxonomy:
    """The one universal taxonomy; no file of a user changes what that name means."""
    return default_catalog().taxonomy(UNIVERSAL)


@functools.cache
def _universal_names() -> frozenset[str]:
    return frozenset(_universal().names)


def _known(members: Iterable[str]) -> tuple[str, ...]:
    """`members` once each. Raises TaxonomyError for one that is no universal class."""
    members = (members,) if isinstance(members, str) else tuple(dict.fromkeys(members))
    known = _universal_names()
    for name in members:
        if name not in known:
            raise TaxonomyError(no_class(UNIVERSAL, name, known))
    return members


def _less(item: DraftClass, gone: set[str]) -> DraftClass | None:
    """The class without these members; None for one that loses all it had."""
    if not gone.intersection(item.members):
        return item
    kept = tuple(name for name in item.members if name not in gone)
    return dataclasses.replace(item, members=kept) if kept else None


def _default_name(members: Sequence[str], others: Sequence[DraftClass]) -> str:
    parents = {info.name: info.parent for info in _universal().classes}
    common = {parents[name] for name in members}
    parent = next(iter(common)) if len(members) > 1 and len(common) == 1 else None
    wanted = members[0] if parent is None else parent.removesuffix("-parent")
    taken, number, name = {item.name for item in others}, 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name
