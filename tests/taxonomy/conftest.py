"""Fixtures of the room."""

from __future__ import annotations

import pytest

from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog([resource_folder("taxonomies")])
