"""One taxonomy file: YAML to checked values, with the line of every mistake.

The file is read as YAML nodes and never constructed (plain_yaml.py): no merge keys, no type guessing (a class may be
called `no`), and duplicate keys are seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

import yaml

from mseg_studio.errors import TaxonomyError, nearest, printable
from mseg_studio.plain_yaml import compose, yaml_reason
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Links

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
_LINK_KEYS = ("format", "name", "source", "note", "to_universal", "from_universal", "unlabeled")
_CLASS_KEYS = ("id", "name", "rgb", "parent", "wordnet", "aliases")
_NULLS = ("", "~", "null")
_Built = TypeVar("_Built")


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


@dataclass(frozen=True)
class LinkTable:
    """Published links of classes whose order, and so whose integers, nobody published: good to look at, no taxonomy."""

    name: str
    path: Path
    note: str = ""
    to_universal: Mapping[str, str] | None = None
    from_universal: Mapping[str, str] | None = None
    unlabeled: tuple[str, ...] = ()
    """Classes that the table lists and leads nowhere."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every class that the links name, in the order of the file."""
        linked = self.to_universal if self.to_universal is not None else (self.from_universal or {}).values()
        return tuple(dict.fromkeys((*linked, *self.unlabeled)))


def read_table(path: Path) -> TaxonomyTable:
    """The table in the YAML file `path` (contracts.md, "Taxonomy").

    Raises TaxonomyError with one line: file, line number, key, what was expected and what came.
    """
    return _read(path, _table)


def read_links(path: Path) -> LinkTable:
    """The links in the YAML file `path` of resources/links. Raises TaxonomyError as `read_table` does."""
    return _read(path, _link_table)


def _read(path: Path, build: Callable[[yaml.Node | None, Path], _Built]) -> _Built:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TaxonomyError(f"is larger than {MAX_BYTES // 2**20} MiB, expected a taxonomy", path=path)
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TaxonomyError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise TaxonomyError(f"byte {error.start} is not UTF-8, expected a taxonomy in YAML", path=path) from error
    try:
        return build(compose(text), path)
    except yaml.YAMLError as error:
        raise TaxonomyError(f"is not YAML: {yaml_reason(error)}", path=path) from error
    except TaxonomyError as error:
        raise TaxonomyError(error.reason, path=path) from error


def _table(root: yaml.Node | None, path: Path) -> TaxonomyTable:
    nodes = _top_level(root, path, known=_KEYS, needed=("format", "name", "ignore_id", "classes"))
    name = _text(nodes["name"], "name")
    links = _text(nodes["links"], "links") if "links" in nodes else "exact"
    if links not in ("exact", "approximate"):
        raise TaxonomyError(f"{_line(nodes['links'])}: links is '{printable(links)}', expected exact or approximate")
    taxonomy = Taxonomy(
        name=name,
        classes=tuple(_classes(nodes["classes"])),
        ignore_id=_number(nodes["ignore_id"], "ignore_id"),
        source=_optional_text(nodes, "source") or "",
    )
    to = _mapping(nodes["to"], "to") if "to" in nodes else {}
    return TaxonomyTable(
        taxonomy=taxonomy,
        path=path,
        links=cast(Links, links),
        note=_optional_text(nodes, "note") or "",
        to_universal=_links(nodes.get("to_universal"), "to_universal", keys=taxonomy),
        from_universal=_links(nodes.get("from_universal"), "from_universal", values=taxonomy),
        to=MappingProxyType(
            {name: found for name, node in to.items() if (found := _links(node, f"to {name}", keys=taxonomy))}
        ),
    )


def _link_table(root: yaml.Node | None, path: Path) -> LinkTable:
    nodes = _top_level(root, path, known=_LINK_KEYS, needed=("format", "name"))
    return LinkTable(
        name=_text(nodes["name"], "name"),
        path=path,
        note=_optional_text(nodes, "note") or "",
        to_universal=_links(nodes.get("to_universal"), "to_universal"),
        from_universal=_links(nodes.get("from_universal"), "from_universal"),
        unlabeled=tuple(_text(part, "unlabeled") for part in _items(nodes["unlabeled"], "unlabeled"))
        if "unlabeled" in nodes
        else (),
    )


def _top_level(
    root: yaml.Node | None, path: Path, *, known: tuple[str, ...], needed: tuple[str, ...]
) -> dict[str, yaml.Node]:
    """Values of a file by key, its format and its name checked."""
    if not isinstance(root, yaml.MappingNode):
        raise TaxonomyError(f"expected `key: value` lines, got {_shown(root)}")
    _check_format(root)
    nodes = _mapping(root, "file", known=known)
    for key in needed:
        if key not in nodes:
            raise TaxonomyError(f"key '{key}' is missing")
    name = _text(nodes["name"], "name")
    if name != path.stem:
        raise TaxonomyError(
            f"{_line(nodes['name'])}: name is '{printable(name)}', expected the file's name, '{path.stem}'"
        )
    return nodes


def _check_format(root: yaml.MappingNode) -> None:
    """First of all checks: a newer file may have keys this reader cannot know."""
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode) and key.value == "format":
            number = _number(value, "format")
            if number > FORMAT:
                raise TaxonomyError(f"format is {number}, written by a newer MSeg Studio; this one reads {FORMAT}")
            if number < FORMAT:
                raise TaxonomyError(f"{_line(value)}: format is {number}, expected {FORMAT}")


def _classes(node: yaml.Node) -> Iterator[ClassInfo]:
    """Checked classes in order; a name or id that repeats is reported with both lines."""
    if not isinstance(node, yaml.SequenceNode):
        raise TaxonomyError(f"{_line(node)}: classes is {_shown(node)}, expected a list")
    last: ClassInfo | None = None
    for item in node.value:
        info = _class(item)
        if last is not None and info.id <= last.id:
            raise TaxonomyError(
                f"{_line(item)}: class '{printable(info.name)}' has id {info.id} after id {last.id}, "
                "expected ids that increase"
            )
        last = info
        yield info


def _class(node: yaml.Node) -> ClassInfo:
    nodes = _mapping(node, "class", known=_CLASS_KEYS)
    for key in ("id", "name", "rgb"):
        if key not in nodes:
            raise TaxonomyError(f"{_line(node)}: key '{key}' of a class is missing")
    rgb = tuple(_number(part, "rgb") for part in _items(nodes["rgb"], "rgb"))
    if len(rgb) != 3:
        raise TaxonomyError(f"{_line(node)}: rgb is {_shown(nodes['rgb'])}, expected three numbers 0 to 255")
    try:
        return ClassInfo(
            id=_number(nodes["id"], "id"),
            name=_text(nodes["name"], "name"),
            rgb=(rgb[0], rgb[1], rgb[2]),
            parent=_optional_text(nodes, "parent"),
            wordnet=_optional_text(nodes, "wordnet"),
            aliases=tuple(_text(part, "aliases") for part in _items(nodes["aliases"], "aliases"))
            if "aliases" in nodes
            else (),
        )
    except TaxonomyError as error:
        raise error if error.reason.startswith("line ") else TaxonomyError(f"{_line(node)}: {error.reason}") from error


def _links(
    node: yaml.Node | None, what: str, *, keys: Taxonomy | None = None, values: Taxonomy | None = None
) -> Mapping[str, str] | None:
    """Class -> class; names on the side of the taxonomy given are checked against it.

    None for no links: an empty mapping links nothing.
    """
    if node is None:
        return None
    links: dict[str, str] = {}
    own = keys or values
    count = Counter(own.names) if own is not None else Counter()
    for key, value_node in _mapping(node, what).items():
        value = _text(value_node, what)
        name = value if keys is None else key
        if own is not None and count[name] != 1:
            raise TaxonomyError(f"{_line(value_node)}: {what}: {_not_one(own, name)}")
        links[key] = value
    return MappingProxyType(links) if links else None


def _not_one(taxonomy: Taxonomy, name: str) -> str:
    if name in taxonomy.names:
        return f"taxonomy '{taxonomy.name}' has several classes '{name}', expected one"
    return f"taxonomy '{taxonomy.name}' has no class '{printable(name)}'{nearest(name, taxonomy.names)}"


def _mapping(node: yaml.Node, what: str, *, known: tuple[str, ...] | None = None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise TaxonomyError(f"{_line(node)}: {what} is {_shown(node)}, expected `key: value`")
    nodes: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _text(key_node, f"a key of {what}")
        if known is not None and key not in known:
            raise TaxonomyError(f"{_line(key_node)}: {what} has an unknown key '{printable(key)}'{nearest(key, known)}")
        if key in nodes:
            raise TaxonomyError(f"{_line(key_node)}: {what} has '{printable(key)}' twice, expected it once")
        nodes[key] = value
    return nodes


def _items(node: yaml.Node, what: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise TaxonomyError(f"{_line(node)}: {what} is {_shown(node)}, expected a list")
    return list(node.value)


def _text(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or _is_null(node):
        raise TaxonomyError(f"{_line(node)}: {what} is {_shown(node)}, expected text")
    return str(node.value)


def _optional_text(nodes: Mapping[str, yaml.Node], key: str) -> str | None:
    node = nodes.get(key)
    return None if node is None or _is_null(node) else _text(node, key)


def _number(node: yaml.Node, what: str) -> int:
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch("[0-9]{1,9}", node.value):
        raise TaxonomyError(f"{_line(node)}: {what} is {_shown(node)}, expected a whole number")
    return int(node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


def _shown(node: yaml.Node | None) -> str:
    """A node in a message: short whatever it holds."""
    if node is None or _is_null(node):
        return "nothing"
    if isinstance(node, yaml.ScalarNode):
        return f"'{printable(node.value[:40])}'"
    return f"a {'list' if isinstance(node, yaml.SequenceNode) else 'mapping'} of {len(node.value)}"


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
