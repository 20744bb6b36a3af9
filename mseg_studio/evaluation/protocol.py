"""In which taxonomy a model is scored on a dataset, and how truth and prediction get there."""

from __future__ import annotations

from dataclasses import dataclass

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.datasets.mapping import label_projection
from mseg_studio.errors import TaxonomyError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection


@dataclass(frozen=True, eq=False, slots=True)
class Protocol:
    """Truth and prediction meet in `taxonomy`."""

    taxonomy: Taxonomy
    prediction: Projection
    """From the model's taxonomy: applied to probabilities."""
    truth: Projection
    """From the dataset's taxonomy: applied to ids; every link must be exact."""
    classes: tuple[str, ...]
    """Classes that count in the means: those that the dataset can show."""

    def truth_of(self, labels: LabelMap) -> LabelMap:
        """Labels of the dataset in the protocol's taxonomy."""
        return labels if self.truth.is_identity else labels.mapped(self.truth)


def choose_protocol(
    dataset: DatasetDescription, model: Taxonomy, *, taxonomy: str | None = None, catalog: Catalog | None = None
) -> Protocol:
    """Score in `taxonomy`; without one in the dataset's own where the model reaches it by exact links, else universal.

    The second is the published way for training sets: their classes go to the universal ones by hard links, and
    universal classes that the dataset does not have are left out of the means (parity.md 2.6). Raises TaxonomyError
    when there is no exact way.
    """
    catalog = catalog or default_catalog()
    if taxonomy is None:
        own = _projection(catalog, model, dataset.taxonomy)
        taxonomy = dataset.taxonomy.name if own is not None else UNIVERSAL
    target = catalog.taxonomy(taxonomy)
    prediction = _projection(catalog, model, target)
    if prediction is None:
        raise TaxonomyError(f"a model in {model.name} cannot be scored in {target.name}: no exact links lead there")
    truth = _truth(dataset, target, catalog)
    reached = {target.names[place] for place, info in enumerate(target.classes) if truth.weights[info.id].any()}
    classes = target.names if truth.is_identity else tuple(name for name in target.names if name in reached)
    return Protocol(target, prediction, truth, classes)


def _truth(dataset: DatasetDescription, target: Taxonomy, catalog: Catalog) -> Projection:
    """The map that training and `dataset remap` use, where its links are exact.

    To a taxonomy of the user's they may lead through the universal one: what the published way scores there, summed.
    """
    try:
        found, through = label_projection(dataset, target.name, catalog)
    except TaxonomyError:
        if target.name == UNIVERSAL:
            raise
        found, through = None, None
    if found is not None and through == UNIVERSAL and _is_own(target.name, catalog):
        return found
    if found is None or found.links != "exact" or through is not None:
        raise TaxonomyError(f"labels in {dataset.taxonomy.name} have no exact links to {target.name}")
    return found


def _is_own(name: str, catalog: Catalog) -> bool:
    """Whether the taxonomy is the user's and says exactly what universal classes it is made of."""
    return not catalog.is_shipped(name) and catalog.projection(UNIVERSAL, name).links == "exact"


def _projection(catalog: Catalog, source: Taxonomy, target: Taxonomy) -> Projection | None:
    """The projection when it is exact, None when there is none."""
    try:
        found = catalog.projection(source.name, target.name)
    except TaxonomyError:
        return None
    return found if found.links == "exact" else None
