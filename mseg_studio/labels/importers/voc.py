"""PASCAL VOC segmentation: palette PNG with 0 for background, 1 to 20 for its classes, 255 for the border of objects.

Source: the VOC2012 development kit (Everingham et al.), section 4.2 and its `VOCopts.classes`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mseg_studio.labels.importer import BACKGROUND, Importer, ImportOptions, Painted, table_of
from mseg_studio.media.image import read_label_ids
from mseg_studio.taxonomy.catalog import default_catalog

BORDER = 255


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    names = {info.id: info.name for info in default_catalog().taxonomy("voc2012").classes}
    class_ids = {number: options.class_id(name) for number, name in names.items()}
    class_ids[0] = options.class_id_or_ignored(BACKGROUND)
    class_ids[BORDER] = options.taxonomy.ignore_id
    table = table_of(class_ids)

    def word(number: int) -> str:
        return f"class '{names[number]}'" if number in names else f"id {number}"

    return lambda label: Painted(read_label_ids(label), table, word)


IMPORTER = Importer("voc", "PASCAL VOC (palette PNG, 255 is the border)", (".png",), _make)
