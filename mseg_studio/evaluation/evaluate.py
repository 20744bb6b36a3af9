"""Score a model on a labelled dataset, one image at a time: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.datasets.mapping import LabelMapping, own_mapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError, ImageReadError, MSegStudioError
from mseg_studio.evaluation.confusion import ConfusionMatrix
from mseg_studio.evaluation.protocol import Protocol
from mseg_studio.inference.predictor import Predictor
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.media.frame import Frame
from mseg_studio.media.image import read_image
from mseg_studio.progress import CancelToken, Progress, ProgressClock

Predict = Callable[[Frame, tuple[int, int]], LabelMap]
"""An image, and the size (height, width) that its labels must have, to labels in the protocol's taxonomy."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result: counts over `images` images, and what was skipped when that was asked for."""

    matrix: ConfusionMatrix
    images: int
    skipped: tuple[MSegStudioError, ...] = ()


def evaluate(
    dataset: DatasetDescription,
    split: str,
    *,
    protocol: Protocol,
    predict: Predict,
    skip_broken: bool = False,
    cancel: CancelToken | None = None,
) -> Iterator[Progress | Evaluation]:
    """Progress after every image, the Evaluation last.

    A file that is missing or broken is an error, as a number over fewer images would be wrong without a word; with
    `skip_broken` it is left out and listed. Raises DatasetError, ImageReadError, ConfigError (no such split),
    Cancelled; what `predict` raises passes through.
    """
    missing: list[DatasetError] | None = [] if skip_broken else None
    pairs = dataset.pairs(split, missing=missing)
    skipped: list[MSegStudioError] = list(missing or ())
    clock, labels = ProgressClock(len(pairs), "images"), own_mapping(dataset)
    total = ConfusionMatrix.empty(protocol.taxonomy)
    images = 0
    yield clock.at(0)
    for done, pair in enumerate(pairs, start=1):
        if cancel is not None:
            cancel.raise_if_cancelled()
        try:
            frame, truth = _read(labels, pair, protocol)
        except (ImageReadError, DatasetError) as error:
            if not skip_broken:
                raise
            skipped.append(error)
        else:
            size = (truth.ids_HW.shape[0], truth.ids_HW.shape[1])
            total = total + ConfusionMatrix.of(truth, predict(frame, size))
            images += 1
        yield clock.at(done)
    if not images:
        raise DatasetError(f"no image of split '{split}' could be read", path=dataset.path)
    yield Evaluation(total, images, tuple(skipped))


def predict_with(predictor: Predictor, protocol: Protocol, *, cancel: CancelToken | None = None) -> Predict:
    """Predictions of a model for `evaluate`.

    Probabilities are interpolated from the network's own grids to the label file's size at once, never resized twice.
    """

    def predict(frame: Frame, size: tuple[int, int]) -> LabelMap:
        dense = predictor.predict(frame.pixels_HW3, cancel=cancel)
        return dense.at_size(*size).labels(protocol.prediction)

    return predict


def merge(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of several shards of a split. Raises ValueError for none."""
    if not parts:
        raise ValueError("no evaluations to merge")
    matrix = parts[0].matrix
    for part in parts[1:]:
        matrix = matrix + part.matrix
    return Evaluation(matrix, sum(p.images for p in parts), tuple(error for p in parts for error in p.skipped))


def _read(labels: LabelMapping, pair: Pair, protocol: Protocol) -> tuple[Frame, LabelMap]:
    frame = read_image(pair.image)
    truth = protocol.truth_of(labels.labels(pair))
    height, width = truth.ids_HW.shape
    # Another size is fine as long as it is the same picture: sides may differ from the common scale by rounding.
    fitting = height * frame.width / frame.height
    if abs(fitting - width) > 1 + 0.01 * width:
        sizes = f"labels are {width} x {height}, the image is {frame.width} x {frame.height}"
        raise DatasetError(f"{sizes}: not the same picture", path=pair.label)
    return frame, truth
