"""A class that somebody wants to see on the open image: which output taxonomy shows it, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.ui.workspaces.segment.results import Result


@dataclass(frozen=True, slots=True)
class AskedClass:
    """A class of an output taxonomy."""

    taxonomy: str
    name: str
    said: str = ""
    """What to say beside it, when it stands for a class of another taxonomy."""

    def said_of(self, result: Result) -> str:
        """What to say once `result` shows it; empty when its pixels speak for themselves."""
        for info, _pixels in result.counts:
            if info.name == self.name:
                return self.said
        taxonomy, only = result.labels.taxonomy, result.choice.only
        if only and any(info.name == self.name and info.id not in only for info in taxonomy.classes):
            return f"{self.name} takes no part: tick it under Only these classes."
        return f"{self.name} of {self.taxonomy} has no pixels in this picture."


def asked_class(catalog: Catalog, own: str, taxonomy: str, name: str) -> AskedClass:
    """What shows class `name` of `taxonomy` with a model in taxonomy `own`: itself where that is an output, else the
    own class that it is linked to.

    Raises TaxonomyError when there is no such class, or when it leads to none of the model's.
    """
    if taxonomy in {output.name for output in catalog.outputs(own)}:
        catalog.taxonomy(taxonomy).id_of(name)
        return AskedClass(taxonomy, name)
    projection = catalog.projection(taxonomy, own)
    class_id = projection.source.id_of(name)
    info = projection.target.get(int(projection.lookup[class_id]))
    if info is None:
        raise TaxonomyError(f"'{name}' of {taxonomy} leads to no class of the model's taxonomy, {own}")
    return AskedClass(
        own, info.name, f"{name} of {taxonomy} is shown as {info.name}, the {own} class that it leads to."
    )
