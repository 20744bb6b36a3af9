"""One taxonomy file: YAML to checked values, with the line of every mistake.

The file is read as YAML nodes and never constructed (plain_yaml.py): no merge keys, no type guessing (a class may be
called `no`), and duplicate keys are seen. Reading a file for use ends at the first mistake; the linter hears of all.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import cast

import yaml

from mseg_studio.errors import TaxonomyError, nearest, printable
from mseg_studio.plain_yaml import compose, yaml_reason
from mseg_studio.taxonomy.model import UNLABELED, ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Links
from mseg_studio.taxonomy.table_nodes import (
    Report,
    TableError,
    items_of,
    mistake_at,
    names_of,
    no_class,
    number_of,
    optional_text_of,
    shown,
    text_of,
)

FORMAT = 1
MAX_BYTES = 4 * 1024 * 1024
"""A taxonomy of 65,535 classes fits; anything larger is not a taxonomy."""

_KEYS = (
    "format",
    "name",
    "ignore_id",
    "source",
    "note",
    "links",
    "classes",
    "to_universal",
    "from_universal",
    "to",
)
_CLASS_KEYS = ("id", "name", "rgb", "parent", "wordnet", "aliases")


def _no_links() -> Mapping[str, Mapping[str, str]]:
    return MappingProxyType({})


@dataclass(frozen=True)
class TaxonomyTable:
    """What one file says: a taxonomy and its links to others. Class names on the taxonomy's own side are checked."""

    taxonomy: Taxonomy
    path: Path
    links: Links = "exact"
    """Whether `from_universal` is published or one-to-one (exact), or picks a representative (approximate)."""
    note: str = ""
    """One sentence for whoever chooses this taxonomy."""
    to_universal: Mapping[str, str] | None = None
    """Class of this taxonomy -> universal class; None where no links are known."""
    from_universal: Mapping[str, str] | None = None
    """Universal class -> class of this taxonomy; None where no links are known."""
    to: Mapping[str, Mapping[str, str]] = field(default_factory=_no_links)
    """Published links to other taxonomies, by their name: class of this taxonomy -> class of that one."""


def read_table(path: Path) -> TaxonomyTable:
    """The table in the YAML file `path` (contracts.md, "Taxonomy").

    Raises TaxonomyError with one line: file, line number, key, what was expected and what came.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TaxonomyError(f"is larger than {MAX_BYTES // 2**20} MiB, expected a taxonomy", path=path)
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TaxonomyError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise TaxonomyError(f"byte {error.start} is not UTF-8, expected a taxonomy in YAML", path=path) from error
    try:
        return TableReader(path).table(compose(text))
    except yaml.YAMLError as error:
        raise TaxonomyError(f"is not YAML: {yaml_reason(error)}", path=path) from error
    except TaxonomyError as error:
        raise TaxonomyError(error.reason, path=path) from error


def _stop(mistake: TableError) -> None:
    raise mistake


class TableReader:
    """One pass over the nodes of a file. What `report` hears of and does not raise is left out, and reading goes on."""

    def __init__(self, path: Path, report: Report = _stop) -> None:
        self._path = path
        self._report = report
        self._name = path.stem
        self._names: Counter[str] = Counter()

    def table(self, root: yaml.Node | None) -> TaxonomyTable:
        """The table. Raises TableError, one that was reported or not, where nothing usable is left."""
        nodes = self._top_level(root)
        links = "exact"
        with self._told():
            links = _links_kind(nodes.get("links"))
        classes = self._classes(nodes.get("classes"))
        taxonomy = self._taxonomy(classes, nodes)
        to_universal = self._links(nodes.get("to_universal"), "to_universal", own="key")
        from_universal = self._links(nodes.get("from_universal"), "from_universal", own="value")
        to = {name: self._links(node, f"to {name}", own="key") for name, node in self._targets(nodes).items()}
        note = ""
        with self._told():
            note = optional_text_of(nodes, "note") or ""
        if taxonomy is None:
            raise TableError("has no classes that can be read", column="classes")
        return TaxonomyTable(
            taxonomy=taxonomy,
            path=self._path,
            links=cast(Links, links),
            note=note,
            to_universal=to_universal,
            from_universal=from_universal,
            to=MappingProxyType({name: found for name, found in to.items() if found}),
        )

    def mapping(
        self, node: yaml.Node, what: str, *, known: tuple[str, ...] | None = None, twice: str = "key"
    ) -> dict[str, yaml.Node]:
        """Keys and values in order; a key that repeats (a mistake of kind `twice`) or is not `known` is left out."""
        if not isinstance(node, yaml.MappingNode):
            raise mistake_at(node, f"{what} is {shown(node)}, expected `key: value`", column=what)
        nodes: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            with self._told():
                key = text_of(key_node, f"a key of {what}")
                if known is not None and key not in known:
                    reason = f"{what} has an unknown key '{printable(key)}'{nearest(key, known)}"
                    raise mistake_at(key_node, reason, column=key, code="key")
                if key in nodes:
                    reason = f"{what} has '{printable(key)}' twice, expected it once"
                    raise mistake_at(key_node, reason, column=key if known else what, code=twice)
                nodes[key] = value
        return nodes

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TableError as mistake:
            self._report(mistake)

    def _top_level(self, root: yaml.Node | None) -> dict[str, yaml.Node]:
        """Values of the file by key, its format and its name checked."""
        if not isinstance(root, yaml.MappingNode):
            code = "empty" if root is None else "yaml"
            raise TableError(f"expected `key: value` lines, got {shown(root)}", code=code)
        _check_format(root)
        nodes = self.mapping(root, "file", known=_KEYS)
        for key in ("format", "name", "ignore_id", "classes"):
            if key not in nodes:
                self._report(TableError(f"key '{key}' is missing", column=key, code="key"))
        with self._told():
            if "name" in nodes and (name := text_of(nodes["name"], "name")) != self._name:
                reason = f"name is '{printable(name)}', expected the file's name, '{self._name}'"
                raise mistake_at(nodes["name"], reason, column="name", code="name")
        return nodes

    def _targets(self, nodes: Mapping[str, yaml.Node]) -> dict[str, yaml.Node]:
        with self._told():
            return self.mapping(nodes["to"], "to") if "to" in nodes else {}
        return {}

    def _taxonomy(self, classes: list[ClassInfo], nodes: Mapping[str, yaml.Node]) -> Taxonomy | None:
        """The classes as a taxonomy; without the ignore id of the file where that is the mistake."""
        source = ""
        with self._told():
            source = optional_text_of(nodes, "source") or ""
        with self._told():
            ignore_id = number_of(nodes["ignore_id"], "ignore_id") if "ignore_id" in nodes else 255
            try:
                return Taxonomy(self._name, tuple(classes), ignore_id, source)
            except TaxonomyError as error:
                key = "ignore_id" if classes else "classes"
                raise mistake_at(nodes.get(key), error.reason, column=key, code="id" if classes else "empty") from error
        ids = {info.id for info in classes}
        return Taxonomy(self._name, tuple(classes), 255 if max(ids) < 255 else 65535, source) if ids else None

    def _classes(self, node: yaml.Node | None) -> list[ClassInfo]:
        """Checked classes in order of id."""
        found: list[ClassInfo] = []
        if node is None:
            return found
        with self._told():
            items = items_of(node, "classes")
            self._names = Counter(names_of(items))
            names: set[str] = set()
            for item in items:
                with self._told():
                    info = self._class(item)
                    if found and info.id <= found[-1].id:
                        reason = (
                            f"class '{printable(info.name)}' has id {info.id} after id {found[-1].id}, "
                            "expected ids that increase"
                        )
                        raise mistake_at(item, reason, column="id", code="id")
                    if info.name in names and info.name != UNLABELED:
                        reason = f"taxonomy '{self._name}' names class '{info.name}' twice"
                        raise mistake_at(item, reason, column="name", code="twice")
                    names.add(info.name)
                    found.append(info)
        return found

    def _class(self, node: yaml.Node) -> ClassInfo:
        nodes = self.mapping(node, "class", known=_CLASS_KEYS)
        for key in ("id", "name", "rgb"):
            if key not in nodes:
                raise mistake_at(node, f"key '{key}' of a class is missing", column=key, code="key")
        rgb = tuple(number_of(part, "rgb") for part in items_of(nodes["rgb"], "rgb"))
        if len(rgb) != 3:
            raise mistake_at(node, f"rgb is {shown(nodes['rgb'])}, expected three numbers 0 to 255", column="rgb")
        class_id, name = number_of(nodes["id"], "id"), text_of(nodes["name"], "name")
        parent, wordnet = optional_text_of(nodes, "parent"), optional_text_of(nodes, "wordnet")
        aliases = items_of(nodes["aliases"], "aliases") if "aliases" in nodes else []
        try:
            return ClassInfo(
                id=class_id,
                name=name,
                rgb=(rgb[0], rgb[1], rgb[2]),
                parent=parent,
                wordnet=wordnet,
                aliases=tuple(text_of(part, "aliases") for part in aliases),
            )
        except TableError:
            raise
        except TaxonomyError as error:
            column, code = ("id", "id") if class_id > 65534 else ("name", "white space")
            if column == "name" and name and name == name.strip() and name.isprintable():
                column, code = "rgb", "value"
            raise mistake_at(node, error.reason, column=column, code=code) from error

    def _links(self, node: yaml.Node | None, what: str, *, own: str) -> Mapping[str, str] | None:
        """Class -> class; names on the taxonomy's own side, `key` or `value`, are checked against it.

        None for no links: an empty mapping links nothing.
        """
        if node is None:
            return None
        links: dict[str, str] = {}
        with self._told():
            for key, value_node in self.mapping(node, what, twice="mapped twice").items():
                with self._told():
                    value = text_of(value_node, what)
                    name = value if own == "value" else key
                    count = self._names[name]
                    if not count or (count > 1 and name == UNLABELED):  # any other that repeats was told
                        reason = f"{what}: {self._not_one(name)}"
                        raise mistake_at(value_node, reason, column=what, code="unknown class")
                    links[key] = value
        return MappingProxyType(links) if links else None

    def _not_one(self, name: str) -> str:
        if self._names[name]:
            return f"taxonomy '{self._name}' has several classes '{printable(name)}', expected one"
        return no_class(self._name, name, self._names)


def _check_format(root: yaml.MappingNode) -> None:
    """First of all checks: a newer file may have keys this reader cannot know."""
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode) and key.value == "format":
            number = number_of(value, "format")
            if number > FORMAT:
                reason = f"format is {number}, written by a newer MSeg Studio; this one reads {FORMAT}"
                raise TableError(reason, column="format")
            if number < FORMAT:
                raise mistake_at(value, f"format is {number}, expected {FORMAT}", column="format")


def _links_kind(node: yaml.Node | None) -> str:
    links = "exact" if node is None else text_of(node, "links")
    if links not in ("exact", "approximate"):
        raise mistake_at(node, f"links is '{printable(links)}', expected exact or approximate", column="links")
    return links
