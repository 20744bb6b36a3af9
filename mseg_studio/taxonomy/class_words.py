"""Words that choose classes of a taxonomy: names, ids, aliases, parents, other taxonomies, files of such words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mseg_studio.errors import TaxonomyError, nearest
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.search import class_ids

_MAX_BYTES = 1 << 20


def chosen_classes(catalog: Catalog, name: str, words: Iterable[str]) -> tuple[str, ...]:
    """Names of the classes of taxonomy `name` that `words` choose, each once, in the order in which they are chosen.

    Raises TaxonomyError for a word that chooses nothing, with the nearest that would, and for a file that cannot be
    read.
    """
    return tuple(dict.fromkeys(found for word in words for found in _chosen(catalog, name, word)))


def _chosen(catalog: Catalog, name: str, word: str) -> Iterator[str]:
    taxonomy = catalog.taxonomy(name)
    if word.startswith("@"):
        for line in _lines(Path(word[1:])):
            yield from _chosen(catalog, name, line)
    elif word.startswith("parent:"):
        yield from _under(catalog, taxonomy, word.removeprefix("parent:"))
    elif word.startswith("in:"):
        target = word.removeprefix("in:")
        unmapped = set(catalog.projection(name, target).unmapped)
        yield from (info.name for info in taxonomy.classes if info.id not in unmapped)
    else:
        for class_id in class_ids(taxonomy, [word]):
            info = taxonomy.get(class_id)
            if info is not None:
                yield info.name


def _lines(path: Path) -> list[str]:
    """Words in a file, one a line; empty lines and those that start with # are left out, files are not nested."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise TaxonomyError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        raise TaxonomyError(f"byte {error.start} is not UTF-8, expected one class a line", path=path) from error
    words = [line.strip() for line in text.splitlines()]
    for word in words:
        if word.startswith("@"):
            raise TaxonomyError(f"'{word}': a file of classes names no other file", path=path)
    return [word for word in words if word and not word.startswith("#")]


def _under(catalog: Catalog, taxonomy: Taxonomy, word: str) -> list[str]:
    """Classes under a parent; one that names none is under the parent that all its universal classes share."""
    parent_of = {info.name: info.parent for info in catalog.taxonomy(UNIVERSAL).classes}
    own: dict[str, set[str | None]] = {info.name: {info.parent} for info in taxonomy.classes if info.parent is not None}
    named = frozenset(own)
    for member, name in (catalog.table(taxonomy.name).from_universal or {}).items():
        if name not in named:
            own.setdefault(name, set()).add(parent_of.get(member))
    plain = {name: {_plain(parent or "") for parent in found} for name, found in own.items()}
    chosen = [info.name for info in taxonomy.classes if plain.get(info.name) == {_plain(word)}]
    if not chosen:
        known = {parent for found in plain.values() if len(found) == 1 for parent in found if parent}
        raise TaxonomyError(
            f"taxonomy '{taxonomy.name}' has no classes under the parent '{word}'{nearest(word, known)}"
        )
    return chosen


def _plain(parent: str) -> str:
    return " ".join(parent.lower().replace("_", " ").split()).removesuffix("-parent")
