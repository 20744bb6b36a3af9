"""The naive merge of the training sets: what it is made of, and where it leads."""

from __future__ import annotations

import numpy as np
import pytest

from mseg_studio.taxonomy.catalog import Catalog
from tests.taxonomy.published import NAIVE_OF, TESTS, ids


def test_it_is_the_lower_cased_union_with_255_left_free(catalog: Catalog) -> None:
    names = [name.lower() for dataset in NAIVE_OF for name in catalog.taxonomy(dataset).names]
    union = list(dict.fromkeys(names))
    naive = catalog.taxonomy("naive")
    assert list(naive.names) == union
    assert [info.id for info in naive.classes] == [*range(255), *range(256, 316)]
    assert (len(naive), naive.num_channels, naive.ignore_id, naive.id_dtype) == (315, 316, 65535, np.uint16)


@pytest.mark.parametrize("dataset", NAIVE_OF)
def test_labels_of_a_training_set_become_its_lower_cased_names(catalog: Catalog, dataset: str) -> None:
    projection = catalog.projection(dataset, "naive")
    assert ids(projection) == {name: name.lower() for name in projection.source.names}
    assert projection.links == "exact"


@pytest.mark.parametrize("test_set", TESTS)
def test_test_sets_are_reached_by_name_alone(catalog: Catalog, test_set: str) -> None:
    projection = catalog.projection("naive", test_set)
    known = set(projection.source.names)
    expected = {name.lower(): name for name in projection.target.names if name.lower() in known}
    assert ids(projection) == expected
    assert expected


def test_outputs_of_a_naive_model(catalog: Catalog) -> None:
    choices = {choice.name: choice for choice in catalog.outputs("naive")}
    assert {name for name, choice in choices.items() if choice.links == "exact"} == {"naive", "universal", *TESTS}
    assert "Through the universal taxonomy" in choices["ade20k-150"].note


def test_universal_links_where_all_training_sets_agree(catalog: Catalog) -> None:
    """Three names mean different things in different sets, 21 have no universal class anywhere."""
    means: dict[str, set[str | None]] = {}
    for dataset in NAIVE_OF:
        links = catalog.table(dataset).to_universal or {}
        for name in catalog.taxonomy(dataset).names:
            means.setdefault(name.lower(), set()).add(links.get(name))
    agreed = {name: next(iter(targets)) for name, targets in means.items() if len(targets) == 1}
    assert ids(catalog.projection("naive", "universal")) == {a: b for a, b in agreed.items() if b is not None}
    assert set(means) - set(agreed) == {"animal", "lamp", "rider"}
    assert sum(name is None for name in agreed.values()) == 21
