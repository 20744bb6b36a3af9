"""What the network makes of a few chosen images, kept at every validation: to see it learn.

The files are those that `sample_index` describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import MSegStudioError
from mseg_studio.labels.label_map import Ids, as_ids
from mseg_studio.media.image import encode_ids_png, read_image
from mseg_studio.storage import write_whole
from mseg_studio.taxonomy.palette import palette_rgb
from mseg_studio.training.config import TrainConfig, TrainPrecision
from mseg_studio.training.head import Head
from mseg_studio.training.sample_index import SampleImage, write_index
from mseg_studio.training.validation import evaluating, look_at
from mseg_studio.training.validation_data import ValidationData

_MOST_IMAGES = 16


def chosen_images(config: TrainConfig, val: ValidationData) -> tuple[SampleImage, ...]:
    """The files of `config.samples`, else the first image of every validation split; 16 at most."""
    if not config.samples:
        first = (_of_split(val, number, 0) for number in range(len(val.splits)))
        return tuple(first)[:_MOST_IMAGES]
    known = {
        pair.image.resolve(): (number, index)
        for number, split in enumerate(val.splits)
        for index, pair in enumerate(split.pairs)
    }
    chosen = []
    for text in config.samples[:_MOST_IMAGES]:
        place = known.get(Path(text).resolve())
        chosen.append(SampleImage(Path(text)) if place is None else _of_split(val, *place))
    return tuple(chosen)


@torch.inference_mode()
def write_samples(
    folder: Path,
    images: Sequence[SampleImage],
    network: nn.Module,
    val: ValidationData,
    *,
    step: int,
    head: Head,
    precision: TrainPrecision,
    device: torch.device,
) -> list[str]:
    """Predict `images` into `folder/<step>` and list them in the index; called by one process of a run.

    An image that cannot be read is left out: gives one line for each such. Written again for the same step it replaces
    what was there; the oldest steps beyond `sample_index.MOST_STEPS` are removed. Raises OSError and ExportError when
    the folder cannot be written.
    """
    target, complaints = folder / str(step), []
    target.mkdir(parents=True, exist_ok=True)
    palette = palette_rgb(head.taxonomy)
    with evaluating(network):
        for number, image in enumerate(images):
            try:
                pixels_HW3 = read_image(image.image).pixels_HW3
                _write_truth(folder / "truth" / f"{number}.png", image, val, head)
            except MSegStudioError as error:
                complaints.append(str(error))
                continue
            look = look_at(network, pixels_HW3, val.short_side, precision=precision, device=device)
            ids_HW = _taxonomy_ids(look.rows(pixels_HW3.shape[0], pixels_HW3.shape[1], head), head)
            path = target / f"{number}.png"
            write_whole(path, encode_ids_png(path, ids_HW, palette))
    write_index(folder, images, taxonomy=head.taxonomy.name, step=step)
    return complaints


def _write_truth(path: Path, image: SampleImage, val: ValidationData, head: Head) -> None:
    """The labels of an image of a validation split, once."""
    if image.place is None or path.is_file():
        return
    dataset, index = image.place
    split = val.splits[dataset]
    rows_HW = split.mapping.labels(split.pairs[index]).ids_HW
    path.parent.mkdir(exist_ok=True)
    write_whole(path, encode_ids_png(path, _taxonomy_ids(rows_HW, head), palette_rgb(head.taxonomy)))


def _taxonomy_ids(rows_HW: Ids, head: Head) -> Ids:
    """Rows of the head as ids of its taxonomy."""
    table = np.full(65536, head.taxonomy.ignore_id, np.int32)
    for row, name in enumerate(head.rows):
        if name:
            table[row] = head.taxonomy.id_of(name)
    return as_ids(table[rows_HW], head.taxonomy)


def _of_split(val: ValidationData, number: int, index: int) -> SampleImage:
    split = val.splits[number]
    pair: Pair = split.pairs[index]
    return SampleImage(pair.image, split.config.name, (number, index))
