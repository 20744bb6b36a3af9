"""Class ids as a PNG of 8 or 16 bits, grey or palette (its indices count): the taxonomy's own or an id map's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mseg_studio.labels.importer import Importer, ImportOptions, Painted, table_of
from mseg_studio.media.image import read_label_ids


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    if options.id_map:
        table = table_of({number: options.declared(name) for number, name in options.id_map.items()})
    else:
        taxonomy = options.taxonomy
        table = table_of({info.id: info.id for info in taxonomy.classes} | {taxonomy.ignore_id: taxonomy.ignore_id})
    return lambda label: Painted(read_label_ids(label), table)


IMPORTER = Importer("ids", "Class ids (PNG of 8 or 16 bits, grey or palette)", (".png",), _make)
