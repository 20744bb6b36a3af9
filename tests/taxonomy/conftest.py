"""Fixtures of the room."""

from __future__ import annotations

from pathlib import Path

import pytest

from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog([resource_folder("taxonomies")])


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, Path]:
    """A catalog that has read the shipped files, with a folder for one's own that examples may empty."""
    folder = tmp_path_factory.mktemp("warm") / "own"
    return Catalog([resource_folder("taxonomies"), folder]), folder
