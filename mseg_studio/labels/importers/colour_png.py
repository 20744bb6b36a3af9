"""Colours for classes: the colour map's, or the taxonomy's own with black for what is no class, as the colour output
writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_colours import Colours
from mseg_studio.labels.importer import IGNORE, Importer, ImportOptions, Painted

_BLACK = (0, 0, 0)


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    if options.colour_map:
        meanings = dict(options.colour_map)
    else:
        meanings = {}
        for info in options.taxonomy.classes:
            if info.rgb in meanings and info.name != meanings[info.rgb]:
                raise DatasetError(
                    f"classes '{meanings[info.rgb]}' and '{info.name}' of {options.taxonomy.name} have one colour; "
                    "labels in colour need a colour map"
                )
            meanings[info.rgb] = info.name
        meanings.setdefault(_BLACK, IGNORE)
    return Colours({rgb: (name, options.declared(name)) for rgb, name in meanings.items()}).paint


IMPORTER = Importer("colours", "Class colours (RGB or palette PNG)", (".png",), _make)
