"""Colours of classes, as tables that painting looks ids up in."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from mseg_studio.taxonomy.model import Taxonomy


def palette_rgb(taxonomy: Taxonomy) -> npt.NDArray[np.uint8]:
    """(ignore_id + 1, 3) RGB by id; holes and the ignore id are black."""
    table = np.zeros((taxonomy.ignore_id + 1, 3), np.uint8)
    for info in taxonomy.classes:
        table[info.id] = info.rgb
    return table


def color_table(taxonomy: Taxonomy, *, hidden: Collection[int] = ()) -> npt.NDArray[np.uint32]:
    """(ignore_id + 1,) colours 0xAARRGGBB by id; hidden classes, holes and the ignore id are transparent."""
    table = np.zeros(taxonomy.ignore_id + 1, np.uint32)
    for info in taxonomy.classes:
        if info.id not in hidden:
            red, green, blue = info.rgb
            table[info.id] = 0xFF000000 | red << 16 | green << 8 | blue
    return table
