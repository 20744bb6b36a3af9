"""Find a class by a few letters of its name, an alias, its parent or its WordNet id, by its id, or by exactly one."""

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
WORDNET_LESS = 200.0
"""Taken off the score of a WordNet id: nobody who types `bee` means `beef.n.01`, a cow, first, and none is found by a
part of its number."""
_MIN_LETTERS = 4
"""Shorter queries resemble too much to be taken for a slip of the fingers."""


def search(taxonomy: Taxonomy, query: str, limit: int = 20) -> list[ClassInfo]:
    """Classes for `query`, best first: the exact id, exact names, names that start so, contain it, resemble it.

    Aliases count like names, a little lower, WordNet ids below them; all classes under a parent that starts so come
    after the names that contain it. Case, underscores and spaces do not matter. An empty query gives the classes in
    order of id.
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


class NameIndex:
    """Names of many things, made ready once for queries of a keystroke each."""

    def __init__(self, names: Iterable[tuple[int, str, float]]) -> None:
        """`names` are (thing, name, what is taken off its score); a thing may have many, a name many things."""
        self._things: dict[str, dict[int, float]] = {}
        for thing, name, less in names:
            things = self._things.setdefault(_plain(name), {})
            things[thing] = min(less, things.get(thing, less))
        self._parts = {name: _parts(name) for name in self._things}

    def find(self, query: str) -> dict[int, float]:
        """Things with a score above 0: names that are, start with or contain the query; if none does, resemble it."""
        wanted = _plain(query)
        found = self._scored(lambda name: _contained(wanted, name))
        if found or len(wanted) < _MIN_LETTERS:
            return found
        least = _MIN_SIMILARITY if len(wanted) < 6 else _MIN_SIMILARITY_LONG
        return self._scored(lambda name: _alike(wanted, name, self._parts[name], least))

    def _scored(self, score: Callable[[str], float]) -> dict[int, float]:
        best: dict[int, float] = {}
        for name, things in self._things.items():
            points = score(name)
            if points > 0:
                for thing, less in things.items():
                    best[thing] = max(best.get(thing, 0.0), points - less)
        return {thing: points for thing, points in best.items() if points > 0}


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
    synsets = (_contained(wanted, _plain(synset)) - WORDNET_LESS for synset in wordnet_ids(info))
    return max(_of_names(wanted, info, _contained), 100.5 if under else 0.0, *synsets)


def wordnet_ids(info: ClassInfo) -> tuple[str, ...]:
    """The WordNet ids of a class, one by one; most have one."""
    return tuple(part.strip() for part in (info.wordnet or "").split(",") if part.strip())


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
    least = _MIN_SIMILARITY if len(wanted) < 6 else _MIN_SIMILARITY_LONG
    return _alike(wanted, name, _parts(name), least)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(name.split())


def _alike(wanted: str, name: str, words: tuple[str, ...], least: float) -> float:
    """`_similarity` to a name whose words are known. What cannot reach `least` is given up early."""
    best = fuzz.ratio(wanted, name, score_cutoff=least)
    best = max(best, 0.95 * fuzz.ratio(wanted, name[: len(wanted)], score_cutoff=least / 0.95))
    for word in words:
        best = max(best, 0.98 * fuzz.ratio(wanted, word, score_cutoff=least / 0.98))
    return best
