"""What happens between two taxonomies: which class leads where, what is merged, what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mseg_studio.errors import TaxonomyError, printable
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.link_table import LinkTable, link_table
from mseg_studio.taxonomy.projection import Links


@dataclass(frozen=True)
class PairReport:
    """The links from one taxonomy to another, as the program uses them; classes by name, in order of id."""

    source: str
    target: str
    links: tuple[tuple[str, str], ...]
    """(source class, target class)."""
    merges: Mapping[str, tuple[str, ...]]
    """Target classes that several source classes lead to, with those."""
    splits: Mapping[str, tuple[str, ...]]
    """Source classes that stand for several target classes, with those: what leads back to it, and its own target."""
    unmapped: tuple[str, ...]
    """Source classes without a target."""
    unreached: tuple[str, ...]
    """Target classes that nothing leads to."""
    quality: Links
    through: str | None
    """`universal` where no links are published and both steps through it were composed."""
    coverage: float
    """Share of the source classes that have a target, 0 to 1."""
    via: Mapping[str, str]
    """Source class -> universal class on its way, for composed links; one that stops there has no target."""


@dataclass(frozen=True)
class _Way:
    """Links in one direction."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    quality: Links
    through: str | None


def compare(catalog: Catalog, source: str, target: str) -> PairReport:
    """The report for what leads from `source` to `target`: taxonomies, or columns of the table with links only.

    Links are those of `Catalog.projection`. Raises TaxonomyError: an unknown name (with the nearest), a broken file, or
    no links in this direction.
    """
    way = _way(catalog, source, target)
    try:
        back = _way(catalog, target, source).links
    except TaxonomyError:
        back = ()  # one-way links are the rule for test sets
    linked = {name for name, _target in way.links}
    reached = {name for _source, name in way.links}
    num_linked = sum(name in linked for name in way.sources)
    return PairReport(
        source=source,
        target=target,
        links=way.links,
        merges=_several((name, came) for came, name in way.links),
        splits=_several([*way.links, *((name, came) for came, name in back)], order=way.targets),
        unmapped=_others(way.sources, linked),
        unreached=_others(way.targets, reached),
        quality=way.quality,
        through=way.through,
        coverage=num_linked / len(way.sources),
        via=MappingProxyType(dict(_way(catalog, source, UNIVERSAL).links) if way.through else {}),
    )


def _way(catalog: Catalog, source: str, target: str) -> _Way:
    """What leads from one to the other. Raises TaxonomyError as `compare` does."""
    known = catalog.names()
    columns = [None if name in known else link_table(name) for name in (source, target)]
    if columns == [None, None]:
        return _projected(catalog, source, target)
    first, second = _to_universal(catalog, source, columns[0]), _from_universal(catalog, target, columns[1])
    if source == target:
        names = first.sources or second.targets
        return _Way(names, names, tuple((name, name) for name in names), "exact", None)
    if not first.links or not second.links:
        raise TaxonomyError(f"no links lead from '{printable(source)}' to '{printable(target)}'")
    onward = dict(second.links)
    links = tuple((name, onward[middle]) for name, middle in first.links if middle in onward)
    direct = UNIVERSAL in (source, target)
    return _Way(
        first.sources, second.targets, links, "exact" if direct else "approximate", None if direct else UNIVERSAL
    )


def _projected(catalog: Catalog, source: str, target: str) -> _Way:
    projection = catalog.projection(source, target)
    links = []
    for info in projection.source.classes:
        found = projection.target.get(int(projection.lookup[info.id]))
        if found is not None:
            links.append((info.name, found.name))
    published = source == target or UNIVERSAL in (source, target) or target in catalog.table(source).to
    through = None if published else UNIVERSAL
    return _Way(projection.source.names, projection.target.names, tuple(links), projection.links, through)


def _to_universal(catalog: Catalog, name: str, column: LinkTable | None) -> _Way:
    """The first step of a composition."""
    universal = catalog.taxonomy(UNIVERSAL).names
    if column is None:
        return _projected(catalog, name, UNIVERSAL)
    return _Way(column.names, universal, tuple((column.to_universal or {}).items()), "exact", None)


def _from_universal(catalog: Catalog, name: str, column: LinkTable | None) -> _Way:
    """The second step of a composition."""
    universal = catalog.taxonomy(UNIVERSAL).names
    if column is None:
        return _projected(catalog, UNIVERSAL, name)
    return _Way(universal, column.names, tuple((column.from_universal or {}).items()), "exact", None)


def _several(pairs: Iterable[tuple[str, str]], *, order: tuple[str, ...] = ()) -> Mapping[str, tuple[str, ...]]:
    """Keys with more than one value, with their values; these once each, in `order` where it is given."""
    values: dict[str, dict[str, None]] = {}
    for key, value in pairs:
        values.setdefault(key, {})[value] = None
    place = {name: index for index, name in enumerate(order)}
    return MappingProxyType(
        {
            key: tuple(sorted(found, key=lambda name: place.get(name, 0)))
            for key, found in values.items()
            if len(found) > 1
        }
    )


def _others(names: tuple[str, ...], known: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name not in known))
