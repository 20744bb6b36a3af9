"""Find a class by a few letters of its name, an alias or its id."""

from __future__ import annotations

from rapidfuzz import fuzz

from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

_MIN_SCORE = 78.0


def search(taxonomy: Taxonomy, query: str, limit: int = 20) -> list[ClassInfo]:
    """Classes for `query`, best first: the exact id, exact names, names that start so, contain it, resemble it.

    Aliases count like names, a little lower. An empty query gives the classes in order of id.
    """
    wanted = " ".join(query.lower().replace("_", " ").split())
    if not wanted:
        return list(taxonomy.classes[:limit])
    ranked = []
    for place, info in enumerate(taxonomy.classes):
        names = [info.name.lower().replace("_", " "), *(alias.lower() for alias in info.aliases)]
        score = max(_score(wanted, name) - (1 if n else 0) for n, name in enumerate(names))
        if str(info.id) == wanted:
            score = 1000.0
        if score >= _MIN_SCORE:
            ranked.append((-score, place, info))
    return [info for _score_, _place, info in sorted(ranked, key=lambda item: item[:2])[:limit]]


def _score(wanted: str, name: str) -> float:
    if name == wanted:
        return 500.0
    if name.startswith(wanted):
        return 400.0 - len(name)
    if any(word.startswith(wanted) for word in name.split()):
        return 300.0 - len(name)
    if wanted in name:
        return 200.0 - len(name)
    return float(fuzz.WRatio(wanted, name, processor=None, score_cutoff=_MIN_SCORE))
