"""MSeg's own tables, read by rules of their own so that a mistake of the restatement shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.projection import Projection

TESTS = ("camvid-11", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19")
PLAIN = (
    "mapillary-public65",
    "coco-panoptic-133",
    "ade20k-150",
    "idd-39",
    "cityscapes-34",
    "cityscapes-19",
    "bdd",
    "sunrgbd-37",
)
RELABELED = tuple(f"{name}-relabeled" for name in PLAIN)
LARGER = {
    "ade20k-151": "ade20k-150",
    "camvid-32": "camvid-11",
    "coco-panoptic-201": "coco-panoptic-133",
    "idd-40": "idd-39",
    "kitti-34": "kitti-19",
    "mapillary-public66": "mapillary-public65",
    "pascal-context-460": "pascal-context-60",
    "scannet-41": "scannet-20",
    "sunrgbd-38": "sunrgbd-37",
    "wilddash-34": "wilddash-19",
}
ALL = ("universal", *TESTS, *PLAIN, *RELABELED, *LARGER)
LINKS_ONLY = ("nyudepthv2-37", "scannet-37", "test-nyudepthv2-37")
NAIVE_OF = ("ade20k-150", "bdd", "cityscapes-19", "coco-panoptic-133", "idd-39", "mapillary-public65", "sunrgbd-37")
"""What MSeg's naive merge is made of, in this order (mseg-api, taxonomy_converter.py, UNRELABELED_TRAIN_DATASETS)."""
SHIPPED = (*ALL, "naive")


def lines(path: Path) -> list[str]:
    return [line.strip("\r\n\ufeff") for line in path.read_bytes().decode("utf-8").split("\n") if line.strip()]


@dataclass(frozen=True)
class Published:
    folder: Path

    def names(self, taxonomy: str) -> list[str]:
        return [line.strip() for line in lines(self.folder / "names" / f"{taxonomy}_names.txt")]

    def colours(self, taxonomy: str) -> list[tuple[int, ...]]:
        rows = lines(self.folder / "names" / f"{taxonomy}_colors.txt")
        return [tuple(int(value) for value in row.split()) for row in rows]

    def master(self) -> list[dict[str, str]]:
        header, *rows = lines(self.folder / "class_remapping_files" / "MSeg_master.tsv")
        keys = header.split("\t")
        return [dict(zip(keys, row.split("\t"), strict=True)) for row in rows]

    def universal(self) -> list[str]:
        return [row["universal"] for row in self.master()[:-1]]

    def cells(self, column: str) -> dict[str, list[str]]:
        """Universal class (and `unlabeled`) -> the classes in its cell."""
        cells = {}
        for row in self.master():
            text = row[column].strip()
            if text.startswith("{"):
                text = text[1 : text.index("}")]
            cells[row["universal"]] = [part.strip() for part in text.split(",") if part.strip()]
        return cells

    def remap(self, source: str, target: str) -> dict[str, str]:
        _header, *rows = lines(self.folder / "class_remapping_files" / f"{source}_to_{target}.tsv")
        return {a.strip(): b.strip() for a, b in (row.split("\t") for row in rows)}


def ids(projection: Projection) -> dict[str, str]:
    """Links of a projection by class name, read from its matrix."""
    return {
        source.name: target.name
        for source in projection.source.classes
        for target in projection.target.classes
        if projection.weights[target.id, source.id] == 1
    }


def fingerprint(catalog: Catalog, name: str) -> tuple[int, str, str]:
    """Number of classes, SHA-256 of `id name` lines, and of the matrices to and from universal and to others."""
    table = catalog.table(name)
    classes = "".join(f"{info.id} {info.name}\n" for info in table.taxonomy.classes)
    matrices = hashlib.sha256()
    pairs = [(name, "universal")] if table.to_universal is not None else []
    pairs += [("universal", name)] if table.from_universal is not None else []
    pairs += [(name, other) for other in table.to]
    for source, target in pairs:
        projection = catalog.projection(source, target)
        matrices.update(f"{source} {target} {projection.weights.shape} {projection.links}\n".encode())
        matrices.update(projection.weights.astype("uint8").tobytes())
    return len(table.taxonomy), hashlib.sha256(classes.encode()).hexdigest(), matrices.hexdigest()
