"""Whether the file of an output taxonomy still says what it said when labels were made with it."""

from __future__ import annotations

from dataclasses import replace

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.ui.workspaces.segment.choice import Choice


class Editions:
    """Numbers the tables seen under each name, so that nothing made with an old one is shown under a new meaning."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: dict[str, tuple[object, int]] = {}

    def of(self, name: str) -> int:
        """The number of the table that the file holds now; of one that is broken or gone, the last."""
        known = self._seen.get(name)
        try:
            table = self._catalog.table(name)
        except TaxonomyError:
            return 0 if known is None else known[1]
        if known is None or known[0] is not table:
            known = self._seen[name] = (table, 0 if known is None else known[1] + 1)
        return known[1]

    def settled(self, old: Choice, new: Choice, *, keep_only: bool) -> tuple[Choice, str]:
        """`new` with the edition of its target, and what to say when classes that take part were dropped.

        Ids mean something else in another taxonomy, so they are, unless `keep_only`: they were chosen for it.
        """
        new = replace(new, edition=self.of(new.target))
        if keep_only or not old.only or new.same_labels(old):
            return new, ""
        why = f"the choice of classes was for {old.target}" if new.target != old.target else "its file has changed"
        return replace(new, only=()), f"All classes of {new.target} take part: {why}."
