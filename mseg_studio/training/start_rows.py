"""Which rows of another head a run's head begins with: by class name, or by the links between two taxonomies."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training.head import Head

UNTRAINED_BIAS = -1e4
"""Logit of a class that was not trained: exact in float16, and exp of it is 0 in float32."""


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What every row of the new head begins with."""

    copied: dict[int, tuple[int, ...]]
    """Row to the rows of the other head that it is the mean of."""
    never: tuple[int, ...]
    """Rows that nobody knows or will learn: their probability stays 0. The others are left random."""
    how: str
    """For people: what the copying went by."""

    def apply(self, rows: Tensor, source: Tensor, *, is_bias: bool) -> Tensor:
        """The new head's `rows` (random so far) with those of `source`; both have a row a class."""
        made = rows.clone()
        for row, others in self.copied.items():
            made[row] = source[list(others)].to(made).mean(dim=0)
        if self.never:
            made[list(self.never)] = UNTRAINED_BIAS if is_bias else 0.0
        return made

    def lines(self, head: Head) -> list[str]:
        """What becomes of every row."""
        done = {*self.copied, *self.never}
        groups = (
            (f"copied {self.how}", tuple(self.copied)),
            ("random", tuple(row for row in range(len(head.rows)) if row not in done)),
            ("of classes that nothing here knows or learns, never predicted", self.never),
        )
        return [f"head: {len(rows)} rows {what} ({_names(head, rows)})" for what, rows in groups if rows]


def plan_rows(head: Head, *, taxonomy: str, rows: tuple[str, ...], count: int) -> RowPlan:
    """From a head of `count` rows, whose classes are `rows` of `taxonomy` where that is known."""
    if not rows:
        if count != len(head.rows):
            return RowPlan({}, (), "")
        return RowPlan(
            {row: (row,) for row in range(count)}, (), "by their place: the file does not say which classes they are"
        )
    place = {name: row for row, name in enumerate(rows) if name}
    links, how = _links(head, taxonomy)
    copied = {}
    for row, name in enumerate(head.rows):
        others = tuple(place[source] for source in links.get(name, (name,)) if source in place)
        if name and others:
            copied[row] = others
    if not copied:
        return RowPlan({}, (), "")
    never = tuple(row for row, name in enumerate(head.rows) if row not in copied and name not in head.trained)
    return RowPlan(copied, never, how)


def _links(head: Head, taxonomy: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """Classes of `taxonomy` that lead to a class of the head's, for those that any leads to; and words for it."""
    if taxonomy == head.taxonomy.name:
        return {}, "by name"
    try:
        projection = default_catalog().projection(taxonomy, head.taxonomy.name)
    except TaxonomyError:
        return {}, f"by name (no links lead from {taxonomy} to {head.taxonomy.name})"
    names = {info.id: info.name for info in projection.source.classes}
    links = {}
    for info in projection.target.classes:
        if sources := projection.weights[info.id].nonzero()[0].tolist():
            links[info.name] = tuple(names[number] for number in sources)
    return links, f"by the {projection.links} links from {taxonomy} to {head.taxonomy.name}, several as their mean"


def _names(head: Head, rows: tuple[int, ...], *, shown: int = 12) -> str:
    names = [head.rows[row] or f"row {row}" for row in rows]
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
