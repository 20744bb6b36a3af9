"""Find a class by a few letters of its name, an alias, its parent or its id, or by exactly one of them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import SupportsIndex

from rapidfuzz import fuzz

from mseg_studio.errors import TaxonomyError, nearest
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

_MIN_SIMILARITY = 76.0
"""Percent; one wrong letter in five passes, two do not."""
_MIN_SIMILARITY_LONG = 70.0
"""For six letters and more, where two letters change places without making another word."""
_MIN_LETTERS = 4
"""Shorter queries resemble too much to be taken for a slip of the fingers."""


def search(taxonomy: Taxonomy, query: str, limit: int = 20) -> list[ClassInfo]:
    """Classes for `query`, best first: the exact id, exact names, names that start so, contain it, resemble it.

    Aliases count like names, a little lower; all classes under a parent that starts so come after the names that
    contain it. Case, underscores and spaces do not matter. An empty query gives the classes in order of id.
    """
    wanted = _plain(query)
    if not wanted:
        return list(taxonomy.classes[:limit])
    found = _best(taxonomy.classes, lambda info: _literal(wanted, info))
    if len(found) < limit and len(wanted) >= _MIN_LETTERS:
        # Comparing letter by letter is slow and ranks last anyway.
        taken = {info.id for info in found}
        others = [info for info in taxonomy.classes if info.id not in taken]
        found += _best(others, lambda info: _of_names(wanted, info, _similarity))
    return found[:limit]


def class_ids(taxonomy: Taxonomy, words: Iterable[str | SupportsIndex]) -> tuple[int, ...]:
    """Ids of classes given by id, name or alias; case, underscores and spaces do not matter.

    Raises TaxonomyError, with the nearest names, for a word that is none of them or several classes' name, TypeError
    for what is neither text nor a whole number.
    """
    return tuple(_class_id(taxonomy, word) for word in words)


def _class_id(taxonomy: Taxonomy, word: str | SupportsIndex) -> int:
    if not isinstance(word, str) or word.isdecimal():
        class_id = int(word) if isinstance(word, str) else operator.index(word)
        if taxonomy.get(class_id) is None:
            raise TaxonomyError(f"taxonomy '{taxonomy.name}' has no class with id {class_id}")
        return class_id
    wanted = _plain(word)
    # A name goes before other classes' aliases.
    for names_of in (lambda info: (info.name,), lambda info: info.aliases):
        found = [info.id for info in taxonomy.classes if wanted in map(_plain, names_of(info))]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(map(str, found))
            raise TaxonomyError(f"taxonomy '{taxonomy.name}' has several classes '{word}'; choose an id of {ids}")
    known = {name for info in taxonomy.classes for name in (info.name, *info.aliases)}
    raise TaxonomyError(f"taxonomy '{taxonomy.name}' has no class '{word}'{nearest(word, known)}")


def _best(classes: Sequence[ClassInfo], score: Callable[[ClassInfo], float]) -> list[ClassInfo]:
    """Classes with a score above 0, the highest first, equal ones in order of id."""
    scored = [(score(info), info) for info in classes]
    return [info for points, info in sorted(scored, key=lambda item: -item[0]) if points > 0]


def _literal(wanted: str, info: ClassInfo) -> float:
    """Score of a class whose id, name, alias or parent holds the query as it is; 0 for none."""
    if str(info.id) == wanted:
        return 1000.0
    under = info.parent is not None and _plain(info.parent).startswith(wanted)
    return max(_of_names(wanted, info, _contained), 100.5 if under else 0.0)


def _of_names(wanted: str, info: ClassInfo, score: Callable[[str, str], float]) -> float:
    """The best score of the name and the aliases."""
    return max(score(wanted, _plain(name)) - (1 if n else 0) for n, name in enumerate((info.name, *info.aliases)))


@functools.lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def _contained(wanted: str, name: str) -> float:
    if name == wanted:
        return 500.0
    if name.startswith(wanted):
        return 400.0 - len(name)
    if any(word.startswith(wanted) for word in name.split()):
        return 300.0 - len(name)
    return 200.0 - len(name) if wanted in name else 0.0


def _similarity(wanted: str, name: str) -> float:
    """Percent of letters in common with the name, one word of it, or as much of it as has been typed; 0 for too few."""
    parts = [(1.0, name), *((0.98, word) for word in name.split()), (0.95, name[: len(wanted)])]
    best = max(weight * fuzz.ratio(wanted, part) for weight, part in parts)
    return best if best >= (_MIN_SIMILARITY if len(wanted) < 6 else _MIN_SIMILARITY_LONG) else 0.0
