"""Pixels of every class that the network learns, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.datasets.class_bars import ClassBars


class HistogramBars(ClassBars):
    """The bars of the Datasets workspace for the classes of a head: no images a class, but all of them."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.setAccessibleName("Pixels of every class after mapping")

    def set_histogram(self, pixels: Mapping[str, int], taxonomy: Taxonomy) -> None:
        """Show the pixels of each class of `taxonomy`."""
        self.set_classes([_count(name, number, taxonomy) for name, number in pixels.items()])

    def line(self, count: dict[str, Any]) -> str:
        """One class in words."""
        return f"{count['name']} {self._share(count['pixels'])}"

    def images_of(self, count: dict[str, Any]) -> str:
        """Nothing: the histogram counts pixels."""
        return "" if count["pixels"] else "never seen"


def _count(name: str, pixels: int, taxonomy: Taxonomy) -> dict[str, Any]:
    info = taxonomy.get(taxonomy.id_of(name))
    rgb = (128, 128, 128) if info is None else info.rgb
    return {"id": taxonomy.id_of(name), "name": name, "rgb": rgb, "pixels": int(pixels), "images": 0}
